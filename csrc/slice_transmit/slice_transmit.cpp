// Who does which rows.
//
// Forward and backward visit the same data, and share the way it is divided: a thread owns a band
// of object rows and, at each position in turn, the window rows that fall into it. So each pixel of
// grad_object is summed by one thread in the order of the positions: no atomics, no copies of the
// object to add up, and the same bits for every number of threads and every division into bands.
#include "slice_transmit/slice_transmit.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "common/thread_pool.h"

namespace fastpty {
namespace {

// Below this many complex products a second thread costs more than it brings.
constexpr std::int64_t kSmallWork = 1 << 14;

// Several bands per thread, so that a thread that was held up does not hold up the others.
constexpr std::int64_t kBandsPerThread = 4;

// Row numbers 0 = r_0 <= r_1 <= ... <= r_n = Y that give the bands [r_i, r_i+1) about equal work.
// Equal heights would not do: the rows under most windows are the busiest, those of the margin
// idle.
template <class T>
std::vector<std::int64_t> equal_work_bands(const SliceTransmit<T>& a) {
  const std::int64_t rows_visited = a.positions * a.window_rows;
  const std::int64_t products = rows_visited * a.window_cols * a.wave_modes * a.object_modes;
  const std::int64_t threads = get_num_threads();
  if (threads == 1 || products < kSmallWork) return {0, a.object_rows};

  // visits[r]: windows over rows up to and including r, from the windows that begin and end there.
  std::vector<std::int64_t> visits(a.object_rows + 1, 0);
  for (std::int64_t j = 0; j < a.positions; ++j) {
    ++visits[a.corner[2 * j]];
    --visits[a.corner[2 * j] + a.window_rows];
  }
  const std::int64_t bands = std::min(a.object_rows, kBandsPerThread * threads);
  std::vector<std::int64_t> edges{0};
  std::int64_t open = 0, done = 0;
  for (std::int64_t row = 0; row < a.object_rows; ++row) {
    open += visits[row];
    done += open;
    const auto next = static_cast<std::int64_t>(edges.size());
    if (next < bands && done * bands >= rows_visited * next) edges.push_back(row + 1);
  }
  edges.push_back(a.object_rows);
  return edges;
}

template <class Arguments>
void for_each_band(const Arguments& arguments,
                   void (*rows)(const Arguments&, std::int64_t, std::int64_t)) {
  const std::vector<std::int64_t> edges = equal_work_bands(arguments);
  parallel_for(static_cast<std::int64_t>(edges.size()) - 1,
               [&](std::int64_t i) { rows(arguments, edges[i], edges[i + 1]); });
}

}  // namespace

template <class T>
void slice_transmit_forward(const SliceTransmitForward<T>& arguments) {
  for_each_band(arguments, FASTPTY_ACTIVE(slice_transmit_forward_rows<T>));
}

template <class T>
void slice_transmit_backward(const SliceTransmitBackward<T>& arguments) {
  for_each_band(arguments, FASTPTY_ACTIVE(slice_transmit_backward_rows<T>));
}

template void slice_transmit_forward(const SliceTransmitForward<float>&);
template void slice_transmit_forward(const SliceTransmitForward<double>&);
template void slice_transmit_backward(const SliceTransmitBackward<float>&);
template void slice_transmit_backward(const SliceTransmitBackward<double>&);

}  // namespace fastpty
