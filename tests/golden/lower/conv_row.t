# Each channel by itself: lanes along the row.
entry f(x: f32[B, 5, 9, 9], w: f32[5, 1, 2, 2]) -> f32[B, 5, 4, 4] { conv(x, w, stride = 2, groups = 5) }
---
kernel f_0_conv(B in 1..=2147483647; in x1: f32[B, 5, 9, 9], in x2: f32[5, 1, 2, 2], out y3: f32[B, 5, 4, 4]) {
  stage main(b < B, o < 5, p0 < 4) {
    let group = o
    for p in 0..4 vector 4 tail mask {
      reg t[1][1]: f32x4 = 0.0
      for k0 in 0..2 {
        for k1 in 0..2 {
          for i in 0..1 unroll {
            reg x[1]: f32x4
            for v in 0..1 unroll {
              let v1 = x1[b, group + i, p0 * 2 + k0, p * 2 + k1]
              x[v] = v1
            }
            for j in 0..1 unroll {
              let v2 = x2[group + (o - group) + j, 0, k0, k1]
              let w = v2
              for v in 0..1 unroll {
                t[j][v] = fma(w, x[v], t[j][v])
              }
            }
          }
        }
      }
      for j in 0..1 unroll {
        for v in 0..1 unroll {
          y3[b, group + (o - group) + j, p0, p] = t[j][v]
        }
      }
    }
  }
}

