# Lanes along the channels, the kernel packed, the operand copied with its zeros; bias and relu on the tile.
entry f(x: f32[B, 3, 8, 8], w: f32[16, 3, 3, 3], b: f32[16]) -> f32[B, 16, 8, 8] { relu(conv(x, w, padding = 1) + b[:, none, none]) }
---
kernel f_0_conv(B in 1..=2147483647; inout panels: f32[1, 3, 3, 3, 16] panel(4, 16) align 64, in x2: f32[16, 3, 3, 3], inout padded: f32[B, 3, 10, 10], in x1: f32[B, 3, 8, 8], in x3: f32[16], out y9: f32[B, 16, 8, 8]) {
  stage pack(g < 1, n < 1) {
    for i in 0..3 {
      for k0 in 0..3 {
        for k1 in 0..3 {
          let v2 = x2[g * 16 + (n * 16 + lane(16)), i, k0, k1]
          panels[g, k0, k1, i, n * 16 + lane(16)] = v2
        }
      }
    }
  }
  stage pad(b < B, c < 3, u0 < 10) {
    for u1 in 0..10 vector 16 tail mask {
      let x = load(x1[b, c, u0 - 1, u1 - 1], u0 - 1 >= 0 && u0 - 1 < 8 && (u1 - 1 >= 0 && u1 - 1 < 8), 0.0)
      padded[b, c, u0, u1] = x
    }
  }
  stage main(b < B, o < 1, p0 < 8) {
    for it in 0..1 {
      let p = it * 8
      reg t[8][1]: f32x16 = 0.0
      for k0 in 0..3 {
        for k1 in 0..3 {
          for i in 0..3 unroll {
            reg b_2[1]: f32x16
            for v in 0..1 unroll {
              b_2[v] = panels[0, k0, k1, i, o * 16 + v * 16 + lane(16)]
            }
            for m in 0..8 unroll {
              let a = padded[b, i, p0 + k0, p + m + k1]
              for v in 0..1 unroll {
                t[m][v] = fma(a, b_2[v], t[m][v])
              }
            }
          }
        }
      }
      for v in 0..1 unroll {
        for m in 0..8 unroll {
          let v3 = x3[o * 16 + v * 16 + lane(16)]
          let v6 = t[m][v] + v3
          let v8 = v6 <= 0.0
          let v9 = select(v8, 0.0, v6)
          y9[b, o * 16 + v * 16 + lane(16), p0, p + m] = v9
        }
      }
    }
  }
}

