# One channel a group, with something around the operand: it is masked where it is loaded, not copied.
entry f(x: f32[1, 6, 9, 20], w: f32[6, 1, 3, 3]) -> f32[1, 6, 9, 20] { conv(x, w, padding = 1, groups = 6) }
---
kernel f_0_conv(; in x1: f32[1, 6, 9, 20], in x2: f32[6, 1, 3, 3], out y3: f32[1, 6, 9, 20]) {
  stage main(b < 1, o < 6, p0 < 9) {
    let group = o
    reg t[1][2]: f32x16 = 0.0
    for k0 in 0..3 unroll {
      for k1 in 0..3 unroll {
        if p0 + k0 - 1 >= 0 && p0 + k0 - 1 < 9 {
          for i in 0..1 unroll {
            reg x[2]: f32x16
            for v in 0..2 unroll {
              let x_2 = load(x1[b, group + i, p0 + k0 - 1, v * 16 + lane(16) + k1 - 1], v * 16 + lane(16) + k1 - 1 >= 0 && v * 16 + lane(16) + k1 - 1 < 20 && v * 16 + lane(16) < 20, 0.0)
              x[v] = x_2
            }
            for j in 0..1 unroll {
              let v2 = x2[group + (o - group) + j, 0, k0, k1]
              let w = v2
              for v in 0..2 unroll {
                t[j][v] = fma(w, x[v], t[j][v])
              }
            }
          }
        }
      }
    }
    for j in 0..1 unroll {
      for v in 0..2 unroll {
        if v * 16 + lane(16) < 20 {
          y3[b, group + (o - group) + j, p0, v * 16 + lane(16)] = t[j][v]
        }
      }
    }
  }
}

