// Transforms along the lines of a wave in global memory, with work on each element at the turn.
//
// A block takes some adjacent columns, or some rows, through shared memory:
//
//   natural_turn    F^-1, work in natural order, F      (lines = columns)
//   spectral_turn   F, work on the frequencies, F^-1    (lines = rows)
//
// The first pass takes its elements straight from global memory, the last puts them straight back:
// one read and one write of the wave, and 2 (passes - 1) barriers. A forward transform leaves the
// frequencies in slots (plan.h); which frequency a slot holds matters only where global memory is
// reached, so every array there is in natural or corner order, and no other table is permuted.
//
// Shared memory. Columns lie side by side, [element][column], so that neighbours in a warp are
// neighbours in both memories: 16 columns are segments of 128 bytes, 8 are 64. Rows lie one after
// the other. Elements are 8 bytes, of which half a warp's 16 fill the 32 banks once:
//
//   - A pass over elements a step apart has neighbours in neighbouring elements: no conflict, and
//     see row_stride().
//   - The last pass has groups of R adjacent elements, R apart; one element of padding after each
//     R, where R is even, makes the distance odd, so that 16 groups of a row, or two groups of 8
//     columns, are in different banks.
//   - Rows of 32 points have a conflict of two in one pass, and those of a RuntimePlan may.
#pragma once

#include "cuda/dft.cuh"
#include "cuda/plan.h"

namespace fastpty {
namespace cuda {

// One pass, see plan.h; `twiddle` is where its own begin in the staged table.
template <int R>
struct LinePass {
  static constexpr int kRadix = R;
  int step, blocks, twiddle;
};

// Two kinds of lines: columns lie side by side, rows one after the other. Columns have the smaller
// radices first and rows have them last: where there is work, the pass needs the fewest registers.
enum class Kind { columns, rows };

// Two passes and only constants.
template <int N, Kind kKind_>
class StaticPlan {
  static constexpr LinePlan kPlan = hot_plan(N);
  static constexpr int kSmall = kPlan.radix[0], kLarge = kPlan.radix[1];
  static constexpr int kFirst = kKind_ == Kind::columns ? kSmall : kLarge;
  static constexpr int kLast = N / kFirst;
  static_assert(kPlan.passes == 2 && kSmall * kLarge == N && kSmall <= kLarge, "two passes");

 public:
  // A thread holds kLarge elements. These many lines make blocks of 64 to 256 threads with at most
  // 36 KiB of shared memory, and columns make segments of 128 or, from 256 points on, 64 bytes.
  static constexpr Kind kKind = kKind_;
  static constexpr int kLines =
      kKind == Kind::columns ? (N < 256 ? 16 : 8) : (N > 256 ? 4 : (N > 128 ? 8 : 16));
  static constexpr int kThreads = kLines * N / kLarge;
  static constexpr int kBlocks = 0;

  FASTPTY_BOTH explicit StaticPlan(const LinePlan&) {}
  FASTPTY_BOTH int length() const { return N; }
  FASTPTY_BOTH int last_radix() const { return kLast; }
  FASTPTY_BOTH int twiddles() const { return (kFirst - 1) * kLast; }

  template <class Visit>
  FASTPTY_DEVICE void first(Visit visit) const {
    visit(LinePass<kFirst>{kLast, 1, 0});
  }
  template <class Visit>
  FASTPTY_DEVICE void last(Visit visit) const {
    visit(LinePass<kLast>{1, kFirst, 0});
  }
  template <class Visit>
  FASTPTY_DEVICE void between_forward(Visit) const {}
  template <class Visit>
  FASTPTY_DEVICE void between_inverse(Visit) const {}
  // The group of slots, in the last pass, that holds frequency f < n / R and every n / R on.
  FASTPTY_DEVICE int group(int frequency) const { return frequency; }
};

// Any plan, with a switch in each pass.
template <Kind kKind_>
class RuntimePlan {
 public:
  static constexpr Kind kKind = kKind_;
  static constexpr int kLines = 8, kThreads = 128;
  // 96 registers for a thread. Left to itself, nvcc takes 64 or 80 and spills.
  static constexpr int kBlocks = 5;

  FASTPTY_BOTH explicit RuntimePlan(const LinePlan& plan) : plan_(plan) {
    if constexpr (kKind == Kind::rows) {
      for (int p = 0; p < plan.passes; ++p) plan_.radix[p] = plan.radix[plan.passes - 1 - p];
    }
  }
  FASTPTY_BOTH int length() const { return plan_.length; }
  FASTPTY_BOTH int last_radix() const { return plan_.radix[plan_.passes - 1]; }
  FASTPTY_BOTH int twiddles() const { return at(plan_.passes - 1).twiddle; }

  template <class Visit>
  FASTPTY_DEVICE void first(Visit visit) const {
    end<kKind == Kind::columns>(0, visit);
  }
  template <class Visit>
  FASTPTY_DEVICE void last(Visit visit) const {
    end<kKind == Kind::rows>(plan_.passes - 1, visit);
  }
  template <class Visit>
  FASTPTY_DEVICE void between_forward(Visit visit) const {
    for (int p = 1; p < plan_.passes - 1; ++p) one_of<3, 4, 5, 8, 9>(p, visit);
  }
  template <class Visit>
  FASTPTY_DEVICE void between_inverse(Visit visit) const {
    for (int p = plan_.passes - 2; p > 0; --p) one_of<3, 4, 5, 8, 9>(p, visit);
  }
  FASTPTY_DEVICE int group(int frequency) const {
    int group = 0;
    for (int p = 0; p < plan_.passes - 1; ++p) {
      group = group * plan_.radix[p] + frequency % plan_.radix[p];
      frequency /= plan_.radix[p];
    }
    return group;
  }

 private:
  FASTPTY_BOTH LinePass<0> at(int pass) const {
    LinePass<0> found{plan_.length / plan_.radix[0], 1, 0};
    for (int p = 0; p < pass; ++p) {
      found.twiddle += (plan_.radix[p] - 1) * found.step;
      found.blocks *= plan_.radix[p];
      found.step /= plan_.radix[p + 1];
    }
    return found;
  }
  // Of all plans of two passes or more, the smallest radix is at one end and the largest at the
  // other; not every radix comes as both.
  template <bool kSmallest, class Visit>
  FASTPTY_DEVICE void end(int p, Visit visit) const {
    if constexpr (kSmallest) {
      one_of<2, 3, 4, 5, 8, 9>(p, visit);
    } else {
      one_of<5, 8, 9, 16>(p, visit);
    }
  }
  template <int... Radices, class Visit>
  FASTPTY_DEVICE void one_of(int p, Visit visit) const {
    const LinePass<0> pass = at(p);
    const auto visited = [&](auto radix) {
      if (plan_.radix[p] != radix.kRadix) return false;
      visit(decltype(radix){pass.step, pass.blocks, pass.twiddle});
      return true;
    };
    (void)(visited(LinePass<Radices>{}) || ...);
  }

  LinePlan plan_;
};

// Calls run(plan) with the plan for lines of `length` points.
template <Kind kKind, class Run>
void with_plan(int length, Run run) {
  const LinePlan plan = line_plan(length);
  switch (length) {
    case 32:
      return run(StaticPlan<32, kKind>(plan));
    case 64:
      return run(StaticPlan<64, kKind>(plan));
    case 96:
      return run(StaticPlan<96, kKind>(plan));
    case 128:
      return run(StaticPlan<128, kKind>(plan));
    case 192:
      return run(StaticPlan<192, kKind>(plan));
    case 256:
      return run(StaticPlan<256, kKind>(plan));
    case 384:
      return run(StaticPlan<384, kKind>(plan));
    case 512:
      return run(StaticPlan<512, kKind>(plan));
    default:
      return run(RuntimePlan<kKind>(plan));
  }
}

// ---------------------------------------------------------------------------- lines of a block

// What a thread does with an element that reaches or leaves global memory is given as functors:
//   load(line, i) -> value, store(line, i, value): i natural or a frequency, as the turn says
//   work(line, first, step, v): v[k] is element first + k step
template <class Plan>
class Lines {
 public:
  static constexpr int kLines = Plan::kLines;
  static constexpr int kThreads = Plan::kThreads;
  static constexpr int kBlocks = Plan::kBlocks;  // for __launch_bounds__; 0: left to nvcc

  // shared: elements(plan) of it. table: [n] exp(-2 pi i k / n). Of the block's kLines lines the
  // first `count` exist. The barrier that makes the twiddles visible is the turn's.
  FASTPTY_DEVICE Lines(const Plan& plan, Cf* shared, const Cf* table, int count)
      : plan_(plan), data_(shared), twiddle_(shared + data_elements(plan)), count_(count) {
    plan.first([&](auto pass) { stage(pass, table); });
    plan.between_forward([&](auto pass) { stage(pass, table); });
  }

  FASTPTY_BOTH static int elements(const Plan& plan) {
    return data_elements(plan) + plan.twiddles();
  }
  FASTPTY_BOTH static int bytes(const Plan& plan) {
    return elements(plan) * static_cast<int>(sizeof(Cf));
  }

  // Frequencies come from load and go to store; work is in natural order. Without `inverse`, work
  // makes the values; without `forward`, nothing happens after it.
  template <class Load, class Work, class Store>
  FASTPTY_DEVICE void natural_turn(bool inverse, bool forward, Load load, Work work, Store store) {
    if (inverse) {
      plan_.last([&](auto pass) {
        constexpr int R = decltype(pass)::kRadix;
        for_each_item(pass.blocks, [&](int line, int f) {
          Cf v[R];
#pragma unroll
          for (int k = 0; k < R; ++k) v[k] = load(line, f + k * pass.blocks);
          Dft<R, 1>::run(v);
          put(v, at(line, plan_.group(f) * R), stride(1));
        });
      });
      __syncthreads();
      plan_.between_inverse([&](auto pass) { inverse_pass(pass); });
    } else {
      __syncthreads();
    }
    plan_.first([&](auto pass) {
      constexpr int R = decltype(pass)::kRadix;
      for_each_item(pass.step, [&](int line, int j) {
        Cf v[R];
        if (inverse) {
          get(v, at(line, j), stride(pass.step));
          untwist(v, pass, j);
          Dft<R, 1>::run(v);
        }
        work(line, j, pass.step, v);
        if (forward) {
          Dft<R, -1>::run(v);
          twist(v, pass, j);
          put(v, at(line, j), stride(pass.step));
        }
      });
    });
    if (!forward) return;
    __syncthreads();
    plan_.between_forward([&](auto pass) { forward_pass(pass); });
    plan_.last([&](auto pass) {
      constexpr int R = decltype(pass)::kRadix;
      for_each_item(pass.blocks, [&](int line, int f) {
        Cf v[R];
        get(v, at(line, plan_.group(f) * R), stride(1));
        Dft<R, -1>::run(v);
#pragma unroll
        for (int k = 0; k < R; ++k) store(line, f + k * pass.blocks, v[k]);
      });
    });
  }

  // Elements in natural order come from load and go to store; work is on the frequencies. Without
  // `forward`, work makes the values; without `inverse`, nothing happens after it.
  template <class Load, class Work, class Store>
  FASTPTY_DEVICE void spectral_turn(bool forward, bool inverse, Load load, Work work, Store store) {
    __syncthreads();
    if (forward) {
      plan_.first([&](auto pass) {
        constexpr int R = decltype(pass)::kRadix;
        for_each_item(pass.step, [&](int line, int j) {
          Cf v[R];
#pragma unroll
          for (int k = 0; k < R; ++k) v[k] = load(line, j + k * pass.step);
          Dft<R, -1>::run(v);
          twist(v, pass, j);
          put(v, at(line, j), stride(pass.step));
        });
      });
      __syncthreads();
      plan_.between_forward([&](auto pass) { forward_pass(pass); });
    }
    plan_.last([&](auto pass) {
      constexpr int R = decltype(pass)::kRadix;
      for_each_item(pass.blocks, [&](int line, int f) {
        Cf v[R];
        const int first = at(line, plan_.group(f) * R);
        if (forward) {
          get(v, first, stride(1));
          Dft<R, -1>::run(v);
        }
        work(line, f, pass.blocks, v);
        if (inverse) {
          Dft<R, 1>::run(v);
          put(v, first, stride(1));
        }
      });
    });
    if (!inverse) return;
    __syncthreads();
    plan_.between_inverse([&](auto pass) { inverse_pass(pass); });
    plan_.first([&](auto pass) {
      constexpr int R = decltype(pass)::kRadix;
      for_each_item(pass.step, [&](int line, int j) {
        Cf v[R];
        get(v, at(line, j), stride(pass.step));
        untwist(v, pass, j);
        Dft<R, 1>::run(v);
#pragma unroll
        for (int k = 0; k < R; ++k) store(line, j + k * pass.step, v[k]);
      });
    });
  }

 private:
  static constexpr bool kSideBySide = Plan::kKind == Kind::columns;

  // visit(line, item) for the `items` items of a pass in each line.
  template <class Visit>
  FASTPTY_DEVICE void for_each_item(int items, Visit visit) const {
#pragma unroll 1
    for (int id = threadIdx.x; id < items * kLines; id += kThreads) {
      const int line = kSideBySide ? id % kLines : id / items;
      if (line < count_) visit(line, kSideBySide ? id / kLines : id % items);
    }
  }

  // Passes in the middle, from shared memory to the same place.
  template <int R>
  FASTPTY_DEVICE void forward_pass(LinePass<R> pass) {
    for_each_item(pass.blocks * pass.step, [&](int line, int item) {
      const int j = item % pass.step;
      const int first = at(line, (item - j) * R + j);
      Cf v[R];
      get(v, first, stride(pass.step));
      Dft<R, -1>::run(v);
      twist(v, pass, j);
      put(v, first, stride(pass.step));
    });
    __syncthreads();
  }
  template <int R>
  FASTPTY_DEVICE void inverse_pass(LinePass<R> pass) {
    for_each_item(pass.blocks * pass.step, [&](int line, int item) {
      const int j = item % pass.step;
      const int first = at(line, (item - j) * R + j);
      Cf v[R];
      get(v, first, stride(pass.step));
      untwist(v, pass, j);
      Dft<R, 1>::run(v);
      put(v, first, stride(pass.step));
    });
    __syncthreads();
  }

  // The twiddles of a pass, exp(-2 pi i blocks j q / n) for q from 1, as [q][j]: neighbours j read
  // neighbours, which in the table they would not.
  template <int R>
  FASTPTY_DEVICE void stage(LinePass<R> pass, const Cf* table) {
    for (int i = threadIdx.x; i < (R - 1) * pass.step; i += kThreads) {
      const int q = i / pass.step, j = i - q * pass.step;
      twiddle_[pass.twiddle + i] = load_shared_by_many(table + pass.blocks * j * (q + 1));
    }
  }
  template <int R>
  FASTPTY_DEVICE void twist(Cf (&v)[R], LinePass<R> pass, int j) const {
#pragma unroll
    for (int q = 1; q < R; ++q) {
      v[q] = mul(v[q], twiddle_[pass.twiddle + (q - 1) * pass.step + j]);
    }
  }
  template <int R>
  FASTPTY_DEVICE void untwist(Cf (&v)[R], LinePass<R> pass, int j) const {
#pragma unroll
    for (int q = 1; q < R; ++q) {
      v[q] = mul_conj(v[q], twiddle_[pass.twiddle + (q - 1) * pass.step + j]);
    }
  }

  template <int R>
  FASTPTY_DEVICE void get(Cf (&v)[R], int first, int stride) const {
#pragma unroll
    for (int k = 0; k < R; ++k) v[k] = data_[first + k * stride];
  }
  template <int R>
  FASTPTY_DEVICE void put(const Cf (&v)[R], int first, int stride) {
#pragma unroll
    for (int k = 0; k < R; ++k) data_[first + k * stride] = v[k];
  }

  // Where an element lies, and how far apart are elements that are a step apart: a step is 1 or a
  // multiple of the last radix.
  FASTPTY_DEVICE int at(int line, int element) const {
    const int i = padded(plan_, element);
    return kSideBySide ? i * kLines + line : i + line * row_stride(plan_);
  }
  FASTPTY_DEVICE int stride(int step) const {
    return (step == 1 ? 1 : padded(plan_, step)) * (kSideBySide ? kLines : 1);
  }
  FASTPTY_BOTH static int padded(const Plan& plan, int i) {
    const int radix = plan.last_radix();
    return radix % 2 == 0 ? i + i / radix : i;
  }
  // As many elements beyond a multiple of 16 as the last radix: the first pass has so many items in
  // each row, and with the next row's they follow each other through the banks.
  FASTPTY_BOTH static int row_stride(const Plan& plan) {
    const int stride = padded(plan, plan.length());
    return stride + (plan.last_radix() - stride % 16 + 16) % 16;
  }
  FASTPTY_BOTH static int data_elements(const Plan& plan) {
    return kLines * (kSideBySide ? padded(plan, plan.length()) : row_stride(plan));
  }

  const Plan& plan_;
  Cf* data_;
  Cf* twiddle_;
  int count_;
};

}  // namespace cuda
}  // namespace fastpty
