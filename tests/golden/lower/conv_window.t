# The gradient of a kernel: lanes along the window, as large as the result was.
entry f(x: f32[B, 2, 10, 10], y: f32[4, B, 8, 8]) -> f32[2, 4, 3, 3] { conv(x.transpose(0, 1), y) }
---
kernel f_0_conv(B in 1..=2147483647; inout padded: f32[2, B, 10, 10], in x1: f32[B, 2, 10, 10], in x2: f32[4, B, 8, 8], out y4: f32[2, 4, 3, 3]) {
  stage pad(b < 2, c < B, u0 < 10) {
    for u1 in 0..10 vector 16 tail mask {
      let v1 = x1[c, b, u0, u1]
      padded[b, c, u0, u1] = v1
    }
  }
  stage main(b < 2, o < 1, p0 < 3) {
    reg t[4][3]: f32x8 = 0.0
    for k0 in 0..8 {
      for i in 0..B {
        for k in 0..8 vector 8 tail mask {
          reg x[3]: f32x8
          for p in 0..3 unroll {
            x[p] = padded[b, i, p0 + k0, p + k]
          }
          for j in 0..4 unroll {
            let v2 = x2[o * 4 + j, i, k0, k]
            let w = v2
            for p in 0..3 unroll {
              t[j][p] = fma(w, x[p], t[j][p])
            }
          }
        }
      }
    }
    for j in 0..4 unroll {
      for p in 0..3 unroll {
        let sum = hadd(t[j][p])
        y4[b, o * 4 + j, p0, p] = sum
      }
    }
  }
}

