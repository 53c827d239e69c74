#include "cuda/block_sum.cuh"
#include "cuda/frequency.cuh"
#include "cuda/lines.cuh"
#include "cuda/waves.cuh"

namespace fastpty {
namespace cuda {
namespace {

// One thread for each; y first.
__global__ void fill_twiddles(int ny, int nx, Cf* to) {
  int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= ny + nx) return;
  const int k = i < ny ? i : i - ny, n = i < ny ? ny : nx;
  double sine, cosine;
  sincospi(-2.0 * k / n, &sine, &cosine);
  to[i] = {static_cast<float>(cosine), static_cast<float>(sine)};
}

struct Place {
  Index wave;
  int first, count;  // lines
  int part, parts;
};
FASTPTY_DEVICE Place place_of(int lines_of_block, int lines) {
  Place place;
  place.parts = (lines + lines_of_block - 1) / lines_of_block;
  place.wave = blockIdx.x / place.parts;
  place.part = static_cast<int>(blockIdx.x % place.parts);
  place.first = place.part * lines_of_block;
  place.count = lines - place.first < lines_of_block ? lines - place.first : lines_of_block;
  return place;
}
dim3 grid_of(Index waves, int lines, int lines_of_block) {
  return dim3(static_cast<unsigned>(waves * ((lines + lines_of_block - 1) / lines_of_block)));
}

template <class Plan>
__global__ void __launch_bounds__(Lines<Plan>::kThreads, Lines<Plan>::kBlocks)
    columns(const __grid_constant__ Plan plan, const __grid_constant__ Waves a, bool inverse,
            const Cf* from, Cf* to, float scale) {
  FASTPTY_SHARED(Cf, shared);
  const Place at = place_of(Lines<Plan>::kLines, a.nx);
  const int cols = a.nx;
  from += at.wave * a.plane() + at.first;
  to += at.wave * a.plane() + at.first;
  Lines<Plan> lines(plan, shared, a.twiddles.y, at.count);
  lines.natural_turn(
      inverse, !inverse, [&](int x, int ky) { return load_once(from + ky * cols + x); },
      [&](int x, int y, int step, auto& v) {
        constexpr int R = sizeof(v) / sizeof(v[0]);
#pragma unroll
        for (int k = 0; k < R; ++k) {
          const int here = (y + k * step) * cols + x;
          if (inverse) {
            to[here] = {scale * v[k].re, scale * v[k].im};
          } else {
            v[k] = load_once(from + here);
          }
        }
      },
      [&](int x, int ky, Cf v) { to[ky * cols + x] = {scale * v.re, scale * v.im}; });
}

// Where the steps of SpectralWork find what they need for one wave.
class Steps {
 public:
  FASTPTY_DEVICE Steps(const Waves& a, const SpectralWork& work, Index wave)
      : a_(a), work_(work), wave_(wave), position_(wave / work.waves_per_position) {}

  // v[k] is at (ky, kx + k step).
  template <int R>
  FASTPTY_DEVICE void store(int ky, int kx, int step, const Cf (&v)[R]) const {
    Cf* to = work_.stored + wave_ * a_.plane() + ky * a_.nx + kx;
#pragma unroll
    for (int k = 0; k < R; ++k) to[k * step] = v[k];
  }

  template <int R>
  FASTPTY_DEVICE void add_moments(int ky, int kx, int step, const Cf (&v)[R], double* sums) const {
    const Cf* other = work_.other + wave_ * a_.plane() + ky * a_.nx + kx;
    const float* chi = work_.chi + ky * a_.nx + kx;
    float by_chi = 0, all = 0, by_x = 0;
#pragma unroll
    for (int k = 0; k < R; ++k) {
      const Cf s = load_once(other + k * step);
      const float t = v[k].im * s.re - v[k].re * s.im;  // Re(conj(v) i s)
      all += t;
      by_chi += t * load_shared_by_many(chi + k * step);
      by_x += t * static_cast<float>(signed_frequency<R>(k, kx + k * step, a_.nx));
    }
    sums[0] += by_chi;
    sums[1] += all * static_cast<float>(signed_frequency(ky, a_.ny));
    sums[2] += by_x;
  }

  template <int R>
  FASTPTY_DEVICE void weigh(int ky, int kx, int step, Cf (&v)[R], double* sums) const {
    const float* field = work_.field + position_ * a_.plane() + ky * a_.nx + kx;
    const float weight = work_.weight == nullptr ? 1.0f : work_.weight[wave_ % work_.weights];
    float power = 0;
#pragma unroll
    for (int k = 0; k < R; ++k) {
      const float f = load_shared_by_many(field + k * step);
      power += f * (v[k].re * v[k].re + v[k].im * v[k].im);
      v[k] = {weight * f * v[k].re, weight * f * v[k].im};
    }
    if (work_.other == nullptr) sums[0] += power;
  }

  template <int R>
  FASTPTY_DEVICE void propagate(int ky, int kx, int step, Cf (&v)[R]) const {
    const Index which = work_.transfers == 1 ? 0 : position_;
    const Cf* transfer = work_.transfer + which * a_.plane() + ky * a_.nx + kx;
#pragma unroll
    for (int k = 0; k < R; ++k) {
      const Cf h = load_shared_by_many(transfer + k * step);
      v[k] = work_.conjugate ? mul_conj(v[k], h) : mul(v[k], h);
    }
  }

 private:
  const Waves& a_;
  const SpectralWork& work_;
  Index wave_, position_;
};

// 168 registers for a thread where blocks are small: left to itself, nvcc spills some for sm_80.
template <class Plan>
constexpr int rows_blocks() {
  return Plan::kThreads == 64 ? 6 : Plan::kBlocks;
}

template <class Plan>
__global__ void __launch_bounds__(Lines<Plan>::kThreads, rows_blocks<Plan>())
    rows(const __grid_constant__ Plan plan, const __grid_constant__ Waves a,
         const __grid_constant__ SpectralWork work, const Cf* from, Cf* to) {
  using Block = Lines<Plan>;
  FASTPTY_SHARED(Cf, shared);
  const Place at = place_of(Block::kLines, a.ny);
  const int cols = a.nx;
  const Index first = at.wave * a.plane() + static_cast<Index>(at.first) * cols;
  const Steps steps(a, work, at.wave);
  double sums[3] = {};
  Block lines(plan, shared, a.twiddles.x, at.count);
  lines.spectral_turn(
      !work.is_spectrum, to != nullptr,
      [&](int line, int x) { return load_once(from + first + line * cols + x); },
      [&](int line, int kx, int step, auto& v) {
        const int ky = at.first + line;
        if (work.is_spectrum) {
          constexpr int R = sizeof(v) / sizeof(v[0]);
          const Cf* spectrum = from + first + line * cols + kx;
#pragma unroll
          for (int k = 0; k < R; ++k) v[k] = load_once(spectrum + k * step);
        }
        if (work.stored != nullptr) steps.store(ky, kx, step, v);
        if (work.other != nullptr) steps.add_moments(ky, kx, step, v, sums);
        if (work.field != nullptr) steps.weigh(ky, kx, step, v, sums);
        if (work.transfer != nullptr) steps.propagate(ky, kx, step, v);
      },
      [&](int line, int x, Cf v) { to[first + line * cols + x] = v; });
  if (work.sums == nullptr) return;
  if (work.other != nullptr) {
    sums[1] /= a.ny;
    sums[2] /= a.nx;
  }
  double* warps = reinterpret_cast<double*>(shared + Block::elements(plan));
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const double sum = sum_over_block(sums[i], warps);
    if (threadIdx.x == 0) work.sums[(at.wave * at.parts + at.part) * 3 + i] = sum;
  }
}

__global__ void add_parts(Index groups, Index members, Index stride, int parts, int columns,
                          double scale, const double* sums, double* to) {
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= groups * columns) return;
  const Index group = i / columns;
  const Index first = group / stride * stride * members + group % stride;
  double sum = 0;
  for (Index member = 0; member < members; ++member) {
    const double* term = sums + (first + member * stride) * parts * 3 + i % columns;
    for (int part = 0; part < parts; ++part) sum += term[part * 3];
  }
  to[i] = scale * sum;
}

}  // namespace

Twiddles make_twiddles(int ny, int nx, void* memory, Stream stream) {
  Cf* to = static_cast<Cf*>(memory);
  launch<fill_twiddles>(element_blocks(ny + nx), kElementThreads, 0, stream, ny, nx, to);
  return {to, to + ny};
}

void transform_columns(const Waves& waves, bool inverse, const Cf* from, Cf* to, float scale,
                       Stream stream) {
  with_plan<Kind::columns>(waves.ny, [&](auto plan) {
    using Block = Lines<decltype(plan)>;
    launch<columns<decltype(plan)>>(grid_of(waves.count, waves.nx, Block::kLines), Block::kThreads,
                                    Block::bytes(plan), stream, plan, waves, inverse, from, to,
                                    scale);
  });
}

int spectral_parts(int ny, int nx) {
  int lines = 1;
  with_plan<Kind::rows>(nx, [&](auto plan) { lines = decltype(plan)::kLines; });
  return (ny + lines - 1) / lines;
}

void transform_rows(const Waves& waves, const SpectralWork& work, const Cf* from, Cf* to,
                    Stream stream) {
  with_plan<Kind::rows>(waves.nx, [&](auto plan) {
    using Block = Lines<decltype(plan)>;
    const int bytes = Block::bytes(plan) +
                      (work.sums == nullptr ? 0 : kMaxWarps * static_cast<int>(sizeof(double)));
    launch<rows<decltype(plan)>>(grid_of(waves.count, waves.ny, Block::kLines), Block::kThreads,
                                 bytes, stream, plan, waves, work, from, to);
  });
}

void sum_parts(Index groups, Index members, Index stride, int parts, int columns, double scale,
               const double* sums, double* to, Stream stream) {
  launch<add_parts>(element_blocks(groups * columns), kElementThreads, 0, stream, groups, members,
                    stride, parts, columns, scale, sums, to);
}

}  // namespace cuda
}  // namespace fastpty
