#include "step_overlaps/step_overlaps.h"

#include "common/thread_pool.h"

namespace fastpty {

void step_overlaps(const StepOverlaps& arguments) {
  const auto at = FASTPTY_ACTIVE(step_overlaps_at);
  parallel_for(arguments.positions, [&](std::int64_t j) { at(arguments, j); });
}

}  // namespace fastpty
