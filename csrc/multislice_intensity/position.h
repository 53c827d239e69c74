// What multislice_intensity_cpu.cpp does with one position: its scratch memory, its windows of the
// object, and the two visits, columns and rows, that take a wave from slice to slice.
//
// For that kernel file alone: everything lives in the variant's namespace.
#pragma once

#include "common/fft.h"
#include "multislice_intensity/multislice_intensity.h"

namespace fastpty {
namespace FASTPTY_SIMD {

using Index = std::int64_t;

constexpr double kTwoPi = 6.283185307179586476925;

// sin and cos, to 1e-7 for |x| up to 10^4: reduction to |r| <= pi/4 in three steps (Cody & Waite),
// then minimax polynomials (Moshier, Cephes).
static FASTPTY_INLINE void sin_cos(Real x, Real& sine, Real& cosine) {
  const Real magic = broadcast(12582912.0f);  // 1.5 2^23: adding it rounds to an integer
  const Real shifted = x * 0.636619772367581343f + magic;
  // A cast between vectors keeps the bits.
  const Int quadrant = (Int)shifted;
  const Real k = shifted - magic;
  const Real r = ((x - k * 1.5703125f) - k * 4.83751296997070313e-4f) - k * 7.5497899548918821e-8f;
  const Real r2 = r * r;
  const Real s = r + r * r2 * (-1.6666654611e-1f + r2 * (8.3321608736e-3f - r2 * 1.9515295891e-4f));
  const Real c =
      1.0f - 0.5f * r2 +
      r2 * r2 *
          (4.166664568298827e-2f + r2 * (-1.388731625493765e-3f + r2 * 2.443315711809948e-5f));
  const Int odd = -(quadrant & 1);
  const Int sine_sign = (quadrant & 2) << 30;
  const Int cosine_sign = ((quadrant + 1) & 2) << 30;
  const Int s_bits = (Int)s, c_bits = (Int)c;
  const Int sine_bits = ((s_bits & ~odd) | (c_bits & odd)) ^ sine_sign;
  const Int cosine_bits = ((c_bits & ~odd) | (s_bits & odd)) ^ cosine_sign;
  sine = (Real)sine_bits;
  cosine = (Real)cosine_bits;
}

static inline Index lanes_of(Index strip, Index cols) {
  const Index left = cols - strip * kLanes;
  return left < kLanes ? left : kLanes;
}

static inline void copy(const float* from, float* to, Index count) {
  for (Index i = 0; i < count; i += kLanes) store(to + i, load(from + i));
}

// What one position works with: the arguments, the tables, and its scratch memory.
class Position {
 public:
  Position(const MultisliceIntensity& a, const MultisliceTables& t, Index j, float* scratch)
      : a_(a), t_(t), j_(j), free_(scratch) {
    block_ = take(t_.strips * kLanes * kWide);
    windows_ = take(a_.object_modes * t_.wave_floats);
    phasors_ = a_.object != nullptr ? nullptr : take(a_.object_modes * t_.wave_floats);
    waves_ = take(a_.wave_modes * a_.object_modes * t_.wave_floats);
    ramp_y_ = take(t_.blocks * kWide);
    ramp_x_ = take((2 * a_.x.length + kWide) / kWide * kWide);
    transfer_ = a_.tilts > 0 ? take(t_.slot_floats) : nullptr;
    // Columns beyond the window are carried along; zeros, lest they be denormal and slow.
    for (Index i = a_.x.length * kWide; i < t_.strips * kLanes * kWide; i += kLanes) {
      store(block_ + i, Real{});
    }
    make_ramps();
  }

  // A piece of the scratch memory. Counts are multiples of kLanes, which keeps pieces aligned.
  float* take(Index floats) {
    float* piece = free_;
    free_ += floats;
    return piece;
  }
  static Index floats(const MultisliceIntensity& a, const MultisliceTables& t) {
    return t.strips * kLanes * kWide + 2 * a.object_modes * t.wave_floats +
           a.wave_modes * a.object_modes * t.wave_floats + t.blocks * kWide +
           (2 * a.x.length + kWide) / kWide * kWide + t.slot_floats;
  }

  float* wave(Index m, Index n) { return waves_ + (m * a_.object_modes + n) * t_.wave_floats; }
  Index mode_index(Index m, Index n) const { return m * a_.object_modes + n; }
  float per_pixel() const {
    return 1.0f / (static_cast<float>(a_.y.length) * static_cast<float>(a_.x.length));
  }
  Wide ramp(Index block, Index slot) const {
    return mul(load_wide(ramp_y_ + block * kWide),
               {broadcast(ramp_x_[2 * slot]), broadcast(ramp_x_[2 * slot + 1])});
  }

  // The y transforms of a wave, with work(strip, row, value) in natural order between them.
  template <bool Inverse, bool Forward, class Work>
  void columns(float* wave, Work work) {
    for (Index s = 0; s < t_.strips; ++s) {
      natural_turn<Inverse, Forward>(wave + s * t_.strip_floats, a_.y,
                                     [&](Index row, Wide& v) { work(s, row, v); });
    }
  }

  // The x transforms of a wave that is half way, with work(block, slot, value) between them.
  template <bool Forward, bool Inverse, class Work>
  void rows(float* wave, Work work) {
    for (Index b = 0; b < t_.blocks; ++b) {
      if constexpr (Forward) load_block(wave, b);
      spectral_turn<Forward, Inverse>(block_, a_.x, [&](Index slot, Wide& v) { work(b, slot, v); });
      if constexpr (Inverse) store_block(wave, b);
    }
  }

  // The window of slice z in every object mode; with the phasors exp(i phi) where they are asked
  // for and the object is a pair.
  template <bool Phasors>
  void make_windows(Index z) {
    for (Index n = 0; n < a_.object_modes; ++n) {
      const Index first =
          (((n * a_.slices + z) * a_.object_rows) + a_.corner[2 * j_]) * a_.object_cols +
          a_.corner[2 * j_ + 1];
      for (Index row = 0; row < a_.y.length; ++row) {
        for (Index s = 0; s < t_.strips; ++s) {
          prefetch_pixels(first + (row + kRowsAhead) * a_.object_cols + s * kLanes);
          const Index lanes = lanes_of(s, a_.x.length);
          const Index pixel = first + row * a_.object_cols + s * kLanes;
          const Index to = n * t_.wave_floats + s * t_.strip_floats + row * kWide;
          if (a_.object != nullptr) {
            store_wide(windows_ + to, complex_pixels(a_.object + pixel, lanes));
          } else {
            Wide phasor;
            sin_cos(real_pixels(a_.phase + pixel, lanes), phasor.im, phasor.re);
            const Real amplitude = real_pixels(a_.amplitude + pixel, lanes);
            if constexpr (Phasors) store_wide(phasors_ + to, phasor);
            store_wide(windows_ + to, {amplitude * phasor.re, amplitude * phasor.im});
          }
        }
      }
    }
  }
  Wide window(Index n, Index strip, Index row) const {
    return load_wide(windows_ + n * t_.wave_floats + strip * t_.strip_floats + row * kWide);
  }
  // O b / D(|O|^2) in the place of every object mode's O: see multislice_intensity.h.
  void divide_windows(float step, float share) {
    for (Index n = 0; n < a_.object_modes; ++n) {
      float* window = windows_ + n * t_.wave_floats;
      const auto visit = [&](auto work) {
        for (Index s = 0; s < t_.strips; ++s) {
          for (Index row = 0; row < a_.y.length; ++row) {
            work(window + s * t_.strip_floats + row * kWide);
          }
        }
      };
      Real most{};
      visit([&](const float* at) {
        const Wide v = load_wide(at);
        const Real power = v.re * v.re + v.im * v.im;
        most = power > most ? power : most;
      });
      float largest = __FLT_MIN__;  // nothing follows from an object that is zero
      for (int l = 0; l < kLanes; ++l) largest = most[l] > largest ? most[l] : largest;
      visit([&](float* at) {
        const Wide v = load_wide(at);
        const Real power = v.re * v.re + v.im * v.im;
        const Real factor = step / ((1 - share) * power + share * largest);
        store_wide(at, {factor * v.re, factor * v.im});
      });
    }
  }
  Wide phasor(Index n, Index strip, Index row) const {
    return load_wide(phasors_ + n * t_.wave_floats + strip * t_.strip_floats + row * kWide);
  }

  // H of the gap after slice z, slot order, with 1 / (Ny Nx).
  const float* transfer(Index z) {
    const Index which = a_.transfers == 1 ? 0 : z;
    const float* shared = t_.transfer + which * t_.slot_floats;
    if (transfer_ == nullptr) return shared;
    const Complex<float>* tilt_y = a_.tilt_y + (j_ * a_.transfers + which) * a_.y.length;
    const Complex<float>* tilt_x = a_.tilt_x + (j_ * a_.transfers + which) * a_.x.length;
    for (Index b = 0; b < t_.blocks; ++b) {
      alignas(4 * kLanes) float lanes[kWide] = {};
      for (Index l = 0; l < lanes_of(b, a_.y.length); ++l) {
        const Complex<float> value = tilt_y[a_.frequency_y[b * kLanes + l]];
        lanes[l] = value.re;
        lanes[kLanes + l] = value.im;
      }
      for (Index p = 0; p < a_.x.length; ++p) {
        const Complex<float> x = tilt_x[a_.frequency_x[p]];
        const Index at = (b * a_.x.length + p) * kWide;
        const Wide tilt = mul(load_wide(lanes), {broadcast(x.re), broadcast(x.im)});
        store_wide(transfer_ + at, mul(load_wide(shared + at), tilt));
      }
    }
    return transfer_;
  }

  // From the probe to the detector. before(m, n, z, strip, row, value) sees every wave as it meets
  // the object, detect(m, n, block, slot, value) its unscaled spectrum at the detector.
  template <class Before, class Detect>
  void forward(Before before, Detect detect) {
    for (Index m = 0; m < a_.wave_modes; ++m) {
      const float* spectrum = t_.spectrum + m * t_.slot_floats;
      rows<false, true>(wave(m, 0), [&](Index b, Index slot, Wide& v) {
        v = mul(load_wide(spectrum + (b * a_.x.length + slot) * kWide), ramp(b, slot));
      });
      for (Index n = 1; n < a_.object_modes; ++n) copy(wave(m, 0), wave(m, n), t_.wave_floats);
    }
    for (Index z = 0; z < a_.slices; ++z) {
      make_windows<false>(z);
      const bool last = z == a_.slices - 1;
      const float* h = last ? nullptr : transfer(z);
      for (Index n = 0; n < a_.object_modes; ++n) {
        for (Index m = 0; m < a_.wave_modes; ++m) {
          columns<true, true>(wave(m, n), [&](Index strip, Index row, Wide& v) {
            before(m, n, z, strip, row, v);
            v = mul(v, window(n, strip, row));
          });
          if (last) {
            rows<true, false>(wave(m, n),
                              [&](Index b, Index slot, Wide& v) { detect(m, n, b, slot, v); });
          } else {
            rows<true, true>(wave(m, n), [&](Index b, Index slot, Wide& v) {
              v = mul(v, load_wide(h + (b * a_.x.length + slot) * kWide));
            });
          }
        }
      }
    }
  }

 private:
  void make_ramps() {
    for (Index b = 0; b < t_.blocks; ++b) {
      for (Index l = 0; l < kLanes; ++l) {
        const Index slot = b * kLanes + l;
        const bool inside = slot < a_.y.length;
        const double angle =
            inside ? -kTwoPi * cycles(a_.frequency_y[slot], a_.y.length) * a_.shift[2 * j_] : 0;
        ramp_y_[b * kWide + l] = static_cast<float>(__builtin_cos(angle));
        ramp_y_[b * kWide + kLanes + l] = static_cast<float>(__builtin_sin(angle));
      }
    }
    for (Index slot = 0; slot < a_.x.length; ++slot) {
      const double angle =
          -kTwoPi * cycles(a_.frequency_x[slot], a_.x.length) * a_.shift[2 * j_ + 1];
      ramp_x_[2 * slot] = static_cast<float>(__builtin_cos(angle));
      ramp_x_[2 * slot + 1] = static_cast<float>(__builtin_sin(angle));
    }
  }

 public:
  // Frequency in cycles per pixel; the one at N/2 counts as -1/2.
  static double cycles(Index frequency, Index length) {
    const Index f = 2 * frequency < length ? frequency : frequency - length;
    return static_cast<double>(f) / static_cast<double>(length);
  }

 private:
  // Rows of a window lie too far apart for the processor to guess the next one. At the end of the
  // object the address is past it, and nothing is read there.
  static constexpr Index kRowsAhead = 8;
  void prefetch_pixels(Index pixel) const {
    if (a_.object != nullptr) {
      __builtin_prefetch(a_.object + pixel);
      __builtin_prefetch(a_.object + pixel + kLanes / 2);
    } else {
      __builtin_prefetch(a_.phase + pixel);
      __builtin_prefetch(a_.amplitude + pixel);
    }
  }
  static Real real_pixels(const float* p, Index lanes) {
    if (lanes == kLanes) return load_unaligned(p);
    alignas(4 * kLanes) float padded[kLanes] = {};
    for (Index l = 0; l < lanes; ++l) padded[l] = p[l];
    return load(padded);
  }
  static Wide complex_pixels(const Complex<float>* p, Index lanes) {
    alignas(4 * kLanes) float padded[kWide] = {};
    for (Index l = 0; l < lanes; ++l) {
      padded[l] = p[l].re;
      padded[kLanes + l] = p[l].im;
    }
    return load_wide(padded);
  }

  // A block of rows of a wave, as a strip whose lanes are the rows.
  void load_block(const float* wave, Index b) {
    for (Index s = 0; s < t_.strips; ++s) {
      exchange(wave + s * t_.strip_floats + b * kLanes * kWide, block_ + s * kLanes * kWide);
    }
  }
  void store_block(float* wave, Index b) {
    for (Index s = 0; s < t_.strips; ++s) {
      exchange(block_ + s * kLanes * kWide, wave + s * t_.strip_floats + b * kLanes * kWide);
    }
  }
  static void exchange(const float* from, float* to) {
    Real r[kLanes];
#pragma GCC unroll 2
    for (int part = 0; part < kWide; part += kLanes) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) r[i] = load(from + i * kWide + part);
      transpose(r);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) store(to + i * kWide + part, r[i]);
    }
  }

  const MultisliceIntensity& a_;
  const MultisliceTables& t_;
  Index j_;
  float* free_;
  float *block_, *windows_, *phasors_, *waves_, *ramp_y_, *ramp_x_, *transfer_;
};

// From slot order to corner order: element (ky, kx) of the array at index ky * Nx + kx.
template <class Visit>
static void visit_slots(const MultisliceIntensity& a, const MultisliceTables& t, Visit visit) {
  for (Index b = 0; b < t.blocks; ++b) {
    for (Index slot = 0; slot < a.x.length; ++slot) {
      for (Index l = 0; l < lanes_of(b, a.y.length); ++l) {
        const Index pixel =
            static_cast<Index>(a.frequency_y[b * kLanes + l]) * a.x.length + a.frequency_x[slot];
        visit((b * a.x.length + slot) * kWide + l, pixel);
      }
    }
  }
}

static inline float sum(Real v) {
  float total = 0;
  for (int l = 0; l < kLanes; ++l) total += v[l];
  return total;
}

}  // namespace FASTPTY_SIMD
}  // namespace fastpty
