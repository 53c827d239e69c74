// One position of multislice_intensity; the equations are in multislice_intensity.h.
//
// Compiled once per instruction set, see common/simd.h. A wave of N x N pixels is 128 KiB at 128
// pixels, and stays in the second-level cache from the probe to the detector. Two visits a slice:
//
//   columns   per strip of kLanes columns:  F_y^-1, transmit, F_y        (lanes = columns)
//   rows      per block of kLanes rows:     F_x, propagate, F_x^-1       (lanes = rows)
//
// Between the two the wave is "half way": natural along x, in slot order along y. The transforms
// never reorder (common/fft_plan.h). A block of rows is transposed on its way in and out, so both
// visits run the same passes over strips. Flops and bytes are counted in docs/performance.md.
//
// All modes of a position go through a slice together, so that its window of the object, with the
// sine and cosine of the phase, is made once for all probe modes.
#include "multislice_intensity/position.h"

namespace fastpty {
namespace FASTPTY_SIMD {

MultisliceTables multislice_layout(const MultisliceIntensity& a) {
  MultisliceTables t{};
  t.strips = (a.x.length + kLanes - 1) / kLanes;
  t.blocks = (a.y.length + kLanes - 1) / kLanes;
  // One Wide more than the rows: strips a power of two apart would compete for the same cache
  // lines.
  t.strip_floats = (t.blocks * kLanes + 1) * kWide;
  t.wave_floats = t.strips * t.strip_floats;
  t.slot_floats = t.blocks * a.x.length * kWide;
  t.saved_floats = a.wave_modes * a.object_modes * (t.slot_floats + a.slices * t.wave_floats);
  return t;
}

void multislice_fill_tables(const MultisliceIntensity& a, const MultisliceTables& t) {
  const Index pixels = static_cast<Index>(a.y.length) * a.x.length;
  const auto fill = [&](const Complex<float>* from, float* to, Index count, double scale) {
    for (Index i = 0; i < count * t.slot_floats; ++i) to[i] = 0;
    for (Index i = 0; i < count; ++i, from += pixels, to += t.slot_floats) {
      visit_slots(a, t, [&](Index at, Index pixel) {
        to[at] = static_cast<float>(scale * from[pixel].re);
        to[at + kLanes] = static_cast<float>(scale * from[pixel].im);
      });
    }
  };
  const double per_pixel = 1.0 / static_cast<double>(pixels);
  fill(a.spectrum, t.spectrum, a.wave_modes, per_pixel);
  // A propagation transforms there and back along both axes.
  fill(a.transfer, t.transfer, a.transfers, per_pixel / (a.y.power_gain * a.x.power_gain));
}

Index multislice_forward_scratch(const MultisliceIntensity& a, const MultisliceTables& t) {
  return Position::floats(a, t) + t.slot_floats;
}

Index multislice_backward_scratch(const MultisliceIntensity& a, const MultisliceTables& t) {
  const bool recomputes = a.saved_positions < a.positions;
  // The intensity's gradient, chi, and for the moments a wave and its spectrum.
  return Position::floats(a, t) + (recomputes ? t.saved_floats : 0) + 3 * t.slot_floats +
         t.wave_floats;
}

namespace {

// Where psi and S of a position lie, wherever that is.
class Saved {
 public:
  Saved(const MultisliceIntensity& a, const MultisliceTables& t, float* base)
      : a_(a), t_(t), psi_(base + a.wave_modes * a.object_modes * t.slot_floats), spectra_(base) {}
  float* psi(Index m, Index n, Index z) const {
    return psi_ + ((m * a_.object_modes + n) * a_.slices + z) * t_.wave_floats;
  }
  float* spectrum(Index m, Index n, Index b, Index slot) const {
    return spectra_ + (m * a_.object_modes + n) * t_.slot_floats + (b * a_.x.length + slot) * kWide;
  }
  // The rows that pad a strip are nobody's, but whoever compares two runs would see them.
  void clear_padding() const {
    const Index strips = a_.wave_modes * a_.object_modes * a_.slices * t_.strips;
    for (Index i = 0; i < strips; ++i) {
      float* strip = psi_ + i * t_.strip_floats;
      for (Index at = a_.y.length * kWide; at < t_.strip_floats; at += kWide) {
        stream_wide(strip + at, Wide{});
      }
    }
  }

 private:
  const MultisliceIntensity& a_;
  const MultisliceTables& t_;
  float *psi_, *spectra_;
};

// The forward that leaves psi and S behind, and hands S on.
template <class Detect>
void forward_saving(Position& position, const MultisliceTables& t, const Saved& saved,
                    Detect detect) {
  position.forward(
      [&](Index m, Index n, Index z, Index strip, Index row, const Wide& v) {
        stream_wide(saved.psi(m, n, z) + strip * t.strip_floats + row * kWide, v);
      },
      [&](Index m, Index n, Index b, Index slot, const Wide& v) {
        store_wide(saved.spectrum(m, n, b, slot), v);
        detect(m, n, b, slot, v);
      });
  saved.clear_padding();
  finish_streams();
}

// The sums that make the gradients of thickness and tilt.
class Moments {
 public:
  Moments(const MultisliceBackward& a, const MultisliceTables& t, Position& position, bool wanted)
      : a_(a), t_(t), position_(position) {
    if (!wanted) return;
    wave_ = position.take(t.wave_floats);
    spectrum_ = position.take(t.slot_floats);
    chi_ = position.take(t.slot_floats);
    for (Index i = 0; i < t.slot_floats; i += kLanes) store(chi_ + i, Real{});
    visit_slots(a, t, [&](Index at, Index pixel) { chi_[at] = a.chi[pixel]; });
  }

  // F{psi} of a saved wave, unscaled.
  void take_spectrum(const float* psi) {
    copy(psi, wave_, t_.wave_floats);
    position_.columns<false, true>(wave_, [](Index, Index, const Wide&) {});
    position_.rows<true, false>(wave_, [&](Index b, Index slot, const Wide& v) {
      store_wide(spectrum_ + (b * a_.x.length + slot) * kWide, v);
    });
  }

  void begin(double* sums) { sums_ = sums; }

  // Slot by slot, the blocks one after the other.
  void add(Index b, Index slot, const Wide& g) {
    const Index at = (b * a_.x.length + slot) * kWide;
    const Wide s = load_wide(spectrum_ + at);
    const Real t = g.im * s.re - g.re * s.im;  // Re(conj(g) i s)
    const auto fx = static_cast<float>(Position::cycles(a_.frequency_x[slot], a_.x.length));
    by_chi_ += load(chi_ + at) * t;
    by_lane_ += t;
    by_x_ += fx * t;
    if (slot < a_.x.length - 1) return;
    const double scale = position_.per_pixel();
    sums_[0] += scale * sum(by_chi_);
    for (Index l = 0; l < lanes_of(b, a_.y.length); ++l) {
      sums_[1] +=
          scale * by_lane_[l] * Position::cycles(a_.frequency_y[b * kLanes + l], a_.y.length);
    }
    sums_[2] += scale * sum(by_x_);
    by_chi_ = by_lane_ = by_x_ = Real{};
  }

 private:
  const MultisliceBackward& a_;
  const MultisliceTables& t_;
  Position& position_;
  float *wave_ = nullptr, *spectrum_ = nullptr, *chi_ = nullptr;
  double* sums_ = nullptr;
  Real by_chi_{}, by_lane_{}, by_x_{};
};

}  // namespace

void multislice_forward_position(const MultisliceForward& a, const MultisliceTables& t, Index j,
                                 float* scratch) {
  Position position(a, t, j, scratch);
  float* intensity = position.take(t.slot_floats);
  for (Index i = 0; i < t.slot_floats; i += kLanes) store(intensity + i, Real{});
  const float scale = position.per_pixel();
  const auto detect = [&](Index, Index n, Index b, Index slot, const Wide& v) {
    float* at = intensity + (b * a.x.length + slot) * kWide;
    const float weight = a.occupancy[n] * scale;
    store(at, load(at) + weight * (v.re * v.re + v.im * v.im));
  };
  if (j < a.saved_positions) {
    forward_saving(position, t, Saved(a, t, a.saved + j * t.saved_floats), detect);
  } else {
    position.forward([](Index, Index, Index, Index, Index, const Wide&) {}, detect);
  }
  const Index pixels = static_cast<Index>(a.y.length) * a.x.length;
  float* out = a.intensity + j * pixels;
  visit_slots(a, t, [&](Index at, Index pixel) { out[pixel] = intensity[at]; });
}

namespace {

// Adds to (or, at first, writes) kLanes numbers in natural order, of which `lanes` lie inside.
FASTPTY_INLINE void add_real(float* to, Real v, Index lanes, bool first) {
  if (lanes == kLanes) {
    if (!first) v += load_unaligned(to);
    __builtin_memcpy(to, &v, sizeof v);
    return;
  }
  for (Index l = 0; l < lanes; ++l) to[l] = first ? v[l] : to[l] + v[l];
}
FASTPTY_INLINE void add_complex(Complex<float>* to, Wide v, Index lanes, bool first) {
  for (Index l = 0; l < lanes; ++l) {
    to[l] = first ? Complex<float>{v.re[l], v.im[l]}
                  : Complex<float>{to[l].re + v.re[l], to[l].im + v.im[l]};
  }
}

}  // namespace

void multislice_backward_position(const MultisliceBackward& a, const MultisliceTables& t, Index j,
                                  float* grad_window, float* grad_spectrum, float* scratch) {
  Position position(a, t, j, scratch);
  const bool is_saved = j < a.saved_positions;
  const Saved saved(a, t, is_saved ? a.saved + j * t.saved_floats : position.take(t.saved_floats));
  if (!is_saved) {
    forward_saving(position, t, saved, [](Index, Index, Index, Index, const Wide&) {});
  }
  float* upstream = position.take(t.slot_floats);
  const Index pixels = static_cast<Index>(a.y.length) * a.x.length;
  const float* grad_intensity = a.grad_intensity + j * pixels;
  for (Index i = 0; i < t.slot_floats; i += kLanes) store(upstream + i, Real{});
  visit_slots(a, t, [&](Index at, Index pixel) { upstream[at] = grad_intensity[pixel]; });
  const float scale = position.per_pixel();
  const auto upstream_at = [&](Index b, Index slot) {
    return load(upstream + (b * a.x.length + slot) * kWide);
  };

  if (a.grad_occupancy != nullptr) {
    for (Index n = 0; n < a.object_modes; ++n) {
      double total = 0;
      for (Index m = 0; m < a.wave_modes; ++m) {
        for (Index b = 0; b < t.blocks; ++b) {
          Real block{};
          for (Index slot = 0; slot < a.x.length; ++slot) {
            const Wide v = load_wide(saved.spectrum(m, n, b, slot));
            block += upstream_at(b, slot) * (v.re * v.re + v.im * v.im);
          }
          total += static_cast<double>(sum(block)) * scale;
        }
      }
      a.grad_occupancy[j * a.object_modes + n] = total;
    }
  }
  const bool wants_object = grad_window != nullptr;
  const bool wants_entrance = grad_spectrum != nullptr || a.grad_shift != nullptr;
  const bool wants_moments = a.moments != nullptr && a.slices > 1;
  if (!wants_object && !wants_entrance && !wants_moments) return;
  Moments moments(a, t, position, wants_moments);

  for (Index n = 0; n < a.object_modes; ++n) {
    const Real weight = broadcast(2 * a.occupancy[n] * scale);
    for (Index m = 0; m < a.wave_modes; ++m) {
      position.rows<false, true>(position.wave(m, n), [&](Index b, Index slot, Wide& v) {
        const Real g = weight * upstream_at(b, slot);
        v = load_wide(saved.spectrum(m, n, b, slot));
        v = {g * v.re, g * v.im};
      });
    }
  }

  if (wants_moments) {
    double* first = a.moments + j * (a.slices - 1) * 3;
    for (Index i = 0; i < (a.slices - 1) * 3; ++i) first[i] = 0;
  }
  double shift_y = 0, shift_x = 0;
  for (Index z = a.slices - 1; z >= 0; --z) {
    position.make_windows<true>(z);
    if (z > 0 && a.wave_step != 0) position.divide_windows(a.wave_step, a.wave_share);
    const float* h = z > 0 ? position.transfer(z - 1) : nullptr;
    for (Index n = 0; n < a.object_modes; ++n) {
      float* grad = wants_object ? grad_window + (n * a.slices + z) * t.wave_floats : nullptr;
      const Index plane = ((j * a.object_modes + n) * a.slices + z) * pixels;
      for (Index m = 0; m < a.wave_modes; ++m) {
        float* wave = position.wave(m, n);
        const float* psi = saved.psi(m, n, z);
        const auto adjoint = [&](Index strip, Index row, Wide& v) {
          if (grad != nullptr) {
            float* at = grad + strip * t.strip_floats + row * kWide;
            const float* wave_in = psi + strip * t.strip_floats + row * kWide;
            prefetch_wide(wave_in + t.strip_floats);
            const Wide term = mul_conj(v, load_wide(wave_in));
            store_wide(at, m == 0 ? term : load_wide(at) + term);
          }
          const Index pixel = row * a.x.length + strip * kLanes;
          const Index lanes = lanes_of(strip, a.x.length);
          if (a.power != nullptr) {
            const Wide wave_in = load_wide(psi + strip * t.strip_floats + row * kWide);
            const Real power = wave_in.re * wave_in.re + wave_in.im * wave_in.im;
            add_real(a.power + plane + pixel, power, lanes, m == 0);
          }
          v = mul_conj(v, position.window(n, strip, row));
          if (z > 0 || a.asked == nullptr) return;
          const Index at = (j * a.wave_modes + m) * pixels + pixel;
          add_complex(a.asked + at, v, lanes, n == 0);
          if (a.entrance == nullptr || n > 0) return;
          const Wide wave_in = load_wide(psi + strip * t.strip_floats + row * kWide);
          add_complex(a.entrance + at, wave_in, lanes, true);
        };
        if (z > 0 && wants_moments) {
          moments.take_spectrum(psi);
          position.columns<true, true>(wave, adjoint);
          moments.begin(a.moments + (j * (a.slices - 1) + z - 1) * 3);
          position.rows<true, true>(wave, [&](Index b, Index slot, Wide& v) {
            moments.add(b, slot, v);
            v = mul_conj(v, load_wide(h + (b * a.x.length + slot) * kWide));
          });
        } else if (z > 0) {
          position.columns<true, true>(wave, adjoint);
          position.rows<true, true>(wave, [&](Index b, Index slot, Wide& v) {
            v = mul_conj(v, load_wide(h + (b * a.x.length + slot) * kWide));
          });
        } else if (!wants_entrance) {
          position.columns<true, false>(wave, adjoint);
        } else {
          position.columns<true, true>(wave, adjoint);
          Real block_y{}, block_x{};
          position.rows<true, false>(wave, [&](Index b, Index slot, const Wide& v) {
            const Wide ramp = position.ramp(b, slot);
            const Index at = m * t.slot_floats + (b * a.x.length + slot) * kWide;
            if (grad_spectrum != nullptr) {
              const Wide term = mul_conj(v, ramp);
              store_wide(grad_spectrum + at, n == 0 ? term : load_wide(grad_spectrum + at) + term);
            }
            if (a.grad_shift == nullptr) return;
            // Re(conj(v) (-2 pi i f) q) = 2 pi f Im(conj(v) q), summed over a block's slots
            // before the frequency along y, which differs from lane to lane, is multiplied in.
            const Wide q = mul(load_wide(t.spectrum + at), ramp);
            const Real slope = v.re * q.im - v.im * q.re;
            const auto fx = static_cast<float>(Position::cycles(a.frequency_x[slot], a.x.length));
            block_y += slope;
            block_x += fx * slope;
            if (slot < a.x.length - 1) return;
            shift_x += kTwoPi * sum(block_x);
            for (Index l = 0; l < lanes_of(b, a.y.length); ++l) {
              shift_y +=
                  kTwoPi * block_y[l] * Position::cycles(a.frequency_y[b * kLanes + l], a.y.length);
            }
            block_y = block_x = Real{};
          });
        }
      }
      if (grad != nullptr && a.product != nullptr) {
        for (Index row = 0; row < a.y.length; ++row) {
          for (Index strip = 0; strip < t.strips; ++strip) {
            const Wide g = load_wide(grad + strip * t.strip_floats + row * kWide);
            add_complex(a.product + plane + row * a.x.length + strip * kLanes, g,
                        lanes_of(strip, a.x.length), true);
          }
        }
      }
      if (grad == nullptr || a.object != nullptr) continue;
      for (Index strip = 0; strip < t.strips; ++strip) {
        for (Index row = 0; row < a.y.length; ++row) {
          float* at = grad + strip * t.strip_floats + row * kWide;
          const Wide g = load_wide(at);
          const Wide phasor = position.phasor(n, strip, row);
          const Wide object = position.window(n, strip, row);
          store_wide(at, {mul_conj(g, phasor).re, mul_conj(g, object).im});
        }
      }
    }
  }
  if (a.grad_shift != nullptr) {
    a.grad_shift[2 * j] = shift_y;
    a.grad_shift[2 * j + 1] = shift_x;
  }
}

void multislice_add_windows(const MultisliceBackward& a, const MultisliceTables& t, Index n,
                            Index z, Index row, Index row_end, Index begin, Index end,
                            const float* windows) {
  const Index plane = (n * a.slices + z) * a.object_rows;
  const Index per_position = a.object_modes * a.slices * t.wave_floats;
  for (Index j = begin; j < end; ++j) {
    const Index cy = a.corner[2 * j], cx = a.corner[2 * j + 1];
    const float* window = windows + (j - begin) * per_position + (n * a.slices + z) * t.wave_floats;
    const Index first = row > cy ? row : cy;
    const Index last = row_end < cy + a.y.length ? row_end : cy + a.y.length;
    for (Index y = first; y < last; ++y) {
      for (Index s = 0; s < t.strips; ++s) {
        const float* from = window + s * t.strip_floats + (y - cy) * kWide;
        const Index to = (plane + y) * a.object_cols + cx + s * kLanes;
        const Index lanes = lanes_of(s, a.x.length);
        if (a.grad_object != nullptr) {
          Complex<float>* g = a.grad_object + to;
          for (Index l = 0; l < lanes; ++l) {
            g[l] = {g[l].re + from[l], g[l].im + from[kLanes + l]};
          }
        } else {
          float *amplitude = a.grad_amplitude + to, *phase = a.grad_phase + to;
          for (Index l = 0; l < lanes; ++l) amplitude[l] += from[l];
          for (Index l = 0; l < lanes; ++l) phase[l] += from[kLanes + l];
        }
      }
    }
  }
}

void multislice_add_spectra(const MultisliceBackward& a, const MultisliceTables& t, Index m,
                            Index count, const float* spectra) {
  const Index pixels = static_cast<Index>(a.y.length) * a.x.length;
  Complex<float>* out = a.grad_spectrum + m * pixels;
  const float* from = spectra + m * t.slot_floats;
  visit_slots(a, t, [&](Index at, Index pixel) {
    Complex<float> total = out[pixel];
    for (Index i = 0; i < count; ++i) {
      const float* term = from + i * a.wave_modes * t.slot_floats + at;
      total = {total.re + term[0], total.im + term[kLanes]};
    }
    out[pixel] = total;
  });
}

}  // namespace FASTPTY_SIMD
}  // namespace fastpty
