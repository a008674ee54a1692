# The gradient of a kernel with many channels: lanes along them, a tile of all pixels; what plays the kernel is turned over.
entry f(x: f32[B, 16, 10, 10], y: f32[B, 32, 8, 8]) -> f32[16, 32, 3, 3] { conv(x.transpose(0, 1), y.transpose(0, 1)) }
---
kernel f_0_conv(B in 1..=2147483647; inout panels: f32[1, 8, 8, B, 32] panel(4, 32) align 64, in x2: f32[B, 32, 8, 8], inout padded: f32[16, B, 10, 10], in x1: f32[B, 16, 10, 10], out y5: f32[16, 32, 3, 3]) {
  stage pack(g < 1, k0 < 8, kb < 1) {
    for i in 0..B {
      for n in 0..2 {
        let v2 = x2[i, g * 32 + n * 16, k0, kb * 8 + lane(8)]
        let v2_2 = x2[i, g * 32 + (n * 16 + 8), k0, kb * 8 + lane(8)]
        let w = perm2(v2, v2_2, lane(16))
        let v2_3 = x2[i, g * 32 + (n * 16 + 1), k0, kb * 8 + lane(8)]
        let v2_4 = x2[i, g * 32 + (n * 16 + 9), k0, kb * 8 + lane(8)]
        let w_2 = perm2(v2_3, v2_4, lane(16))
        let v2_5 = x2[i, g * 32 + (n * 16 + 2), k0, kb * 8 + lane(8)]
        let v2_6 = x2[i, g * 32 + (n * 16 + 10), k0, kb * 8 + lane(8)]
        let w_3 = perm2(v2_5, v2_6, lane(16))
        let v2_7 = x2[i, g * 32 + (n * 16 + 3), k0, kb * 8 + lane(8)]
        let v2_8 = x2[i, g * 32 + (n * 16 + 11), k0, kb * 8 + lane(8)]
        let w_4 = perm2(v2_7, v2_8, lane(16))
        let v2_9 = x2[i, g * 32 + (n * 16 + 4), k0, kb * 8 + lane(8)]
        let v2_10 = x2[i, g * 32 + (n * 16 + 12), k0, kb * 8 + lane(8)]
        let w_5 = perm2(v2_9, v2_10, lane(16))
        let v2_11 = x2[i, g * 32 + (n * 16 + 5), k0, kb * 8 + lane(8)]
        let v2_12 = x2[i, g * 32 + (n * 16 + 13), k0, kb * 8 + lane(8)]
        let w_6 = perm2(v2_11, v2_12, lane(16))
        let v2_13 = x2[i, g * 32 + (n * 16 + 6), k0, kb * 8 + lane(8)]
        let v2_14 = x2[i, g * 32 + (n * 16 + 14), k0, kb * 8 + lane(8)]
        let w_7 = perm2(v2_13, v2_14, lane(16))
        let v2_15 = x2[i, g * 32 + (n * 16 + 7), k0, kb * 8 + lane(8)]
        let v2_16 = x2[i, g * 32 + (n * 16 + 15), k0, kb * 8 + lane(8)]
        let w_8 = perm2(v2_15, v2_16, lane(16))
        let a = perm2(w, w_2, lane(16) + lane(16) % 2 * 15)
        let b = perm2(w, w_2, lane(16) + lane(16) % 2 * 15 + 1)
        let a_2 = perm2(w_3, w_4, lane(16) + lane(16) % 2 * 15)
        let b_2 = perm2(w_3, w_4, lane(16) + lane(16) % 2 * 15 + 1)
        let a_3 = perm2(w_5, w_6, lane(16) + lane(16) % 2 * 15)
        let b_3 = perm2(w_5, w_6, lane(16) + lane(16) % 2 * 15 + 1)
        let a_4 = perm2(w_7, w_8, lane(16) + lane(16) % 2 * 15)
        let b_4 = perm2(w_7, w_8, lane(16) + lane(16) % 2 * 15 + 1)
        let a_5 = perm2(a, a_2, lane(16) + lane(16) // 2 % 2 * 14)
        let b_5 = perm2(a, a_2, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_6 = perm2(b, b_2, lane(16) + lane(16) // 2 % 2 * 14)
        let b_6 = perm2(b, b_2, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_7 = perm2(a_3, a_4, lane(16) + lane(16) // 2 % 2 * 14)
        let b_7 = perm2(a_3, a_4, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_8 = perm2(b_3, b_4, lane(16) + lane(16) // 2 % 2 * 14)
        let b_8 = perm2(b_3, b_4, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_9 = perm2(a_5, a_7, lane(16) + lane(16) // 4 % 2 * 12)
        let b_9 = perm2(a_5, a_7, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        let a_10 = perm2(a_6, a_8, lane(16) + lane(16) // 4 % 2 * 12)
        let b_10 = perm2(a_6, a_8, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        let a_11 = perm2(b_5, b_7, lane(16) + lane(16) // 4 % 2 * 12)
        let b_11 = perm2(b_5, b_7, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        let a_12 = perm2(b_6, b_8, lane(16) + lane(16) // 4 % 2 * 12)
        let b_12 = perm2(b_6, b_8, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        panels[g, k0, kb * 8, i, n * 16 + lane(16)] = a_9
        panels[g, k0, kb * 8 + 1, i, n * 16 + lane(16)] = a_10
        panels[g, k0, kb * 8 + 2, i, n * 16 + lane(16)] = a_11
        panels[g, k0, kb * 8 + 3, i, n * 16 + lane(16)] = a_12
        panels[g, k0, kb * 8 + 4, i, n * 16 + lane(16)] = b_9
        panels[g, k0, kb * 8 + 5, i, n * 16 + lane(16)] = b_10
        panels[g, k0, kb * 8 + 6, i, n * 16 + lane(16)] = b_11
        panels[g, k0, kb * 8 + 7, i, n * 16 + lane(16)] = b_12
      }
    }
  }
  stage pad(b < 16, c < B, u0 < 10) {
    for u1 in 0..10 vector 16 tail mask {
      let v1 = x1[c, b, u0, u1]
      padded[b, c, u0, u1] = v1
    }
  }
  stage main(b < 16, o < 1, p0 < 1) {
    for it in 0..1 {
      let p = it * 3
      reg t[9][2]: f32x16 = 0.0
      for k0 in 0..8 {
        for k1 in 0..8 {
          for i in 0..B {
            reg b_2[2]: f32x16
            for v in 0..2 unroll {
              b_2[v] = panels[0, k0, k1, i, o * 32 + v * 16 + lane(16)]
            }
            for r in 0..3 unroll {
              for m in 0..3 unroll {
                let a = padded[b, i, p0 * 3 + r + k0, p + m + k1]
                for v in 0..2 unroll {
                  t[r * 3 + m][v] = fma(a, b_2[v], t[r * 3 + m][v])
                }
              }
            }
          }
        }
      }
      for v in 0..2 unroll {
        let a = perm2(t[0][v], t[1][v], lane(16) + lane(16) % 2 * 15)
        let b_2 = perm2(t[0][v], t[1][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_2 = perm2(t[2][v], t[0][v], lane(16) + lane(16) % 2 * 15)
        let b_3 = perm2(t[2][v], t[0][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_3 = perm2(a, a_2, lane(16) + lane(16) // 2 % 2 * 14)
        let b_4 = perm2(a, a_2, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_4 = perm2(b_2, b_3, lane(16) + lane(16) // 2 % 2 * 14)
        let b_5 = perm2(b_2, b_3, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        if lane(4) < 3 {
          y5[b, o * 32 + v * 16, p0 * 3, p + lane(4)] = perm(a_3, lane(4))
          y5[b, o * 32 + v * 16 + 1, p0 * 3, p + lane(4)] = perm(a_4, lane(4))
          y5[b, o * 32 + v * 16 + 2, p0 * 3, p + lane(4)] = perm(b_4, lane(4))
          y5[b, o * 32 + v * 16 + 3, p0 * 3, p + lane(4)] = perm(b_5, lane(4))
          y5[b, o * 32 + v * 16 + 4, p0 * 3, p + lane(4)] = perm(a_3, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 5, p0 * 3, p + lane(4)] = perm(a_4, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 6, p0 * 3, p + lane(4)] = perm(b_4, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 7, p0 * 3, p + lane(4)] = perm(b_5, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 8, p0 * 3, p + lane(4)] = perm(a_3, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 9, p0 * 3, p + lane(4)] = perm(a_4, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 10, p0 * 3, p + lane(4)] = perm(b_4, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 11, p0 * 3, p + lane(4)] = perm(b_5, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 12, p0 * 3, p + lane(4)] = perm(a_3, lane(4) + 12)
          y5[b, o * 32 + v * 16 + 13, p0 * 3, p + lane(4)] = perm(a_4, lane(4) + 12)
          y5[b, o * 32 + v * 16 + 14, p0 * 3, p + lane(4)] = perm(b_4, lane(4) + 12)
          y5[b, o * 32 + v * 16 + 15, p0 * 3, p + lane(4)] = perm(b_5, lane(4) + 12)
        }
        let a_5 = perm2(t[3][v], t[4][v], lane(16) + lane(16) % 2 * 15)
        let b_6 = perm2(t[3][v], t[4][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_6 = perm2(t[5][v], t[3][v], lane(16) + lane(16) % 2 * 15)
        let b_7 = perm2(t[5][v], t[3][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_7 = perm2(a_5, a_6, lane(16) + lane(16) // 2 % 2 * 14)
        let b_8 = perm2(a_5, a_6, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_8 = perm2(b_6, b_7, lane(16) + lane(16) // 2 % 2 * 14)
        let b_9 = perm2(b_6, b_7, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        if lane(4) < 3 {
          y5[b, o * 32 + v * 16, p0 * 3 + 1, p + lane(4)] = perm(a_7, lane(4))
          y5[b, o * 32 + v * 16 + 1, p0 * 3 + 1, p + lane(4)] = perm(a_8, lane(4))
          y5[b, o * 32 + v * 16 + 2, p0 * 3 + 1, p + lane(4)] = perm(b_8, lane(4))
          y5[b, o * 32 + v * 16 + 3, p0 * 3 + 1, p + lane(4)] = perm(b_9, lane(4))
          y5[b, o * 32 + v * 16 + 4, p0 * 3 + 1, p + lane(4)] = perm(a_7, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 5, p0 * 3 + 1, p + lane(4)] = perm(a_8, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 6, p0 * 3 + 1, p + lane(4)] = perm(b_8, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 7, p0 * 3 + 1, p + lane(4)] = perm(b_9, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 8, p0 * 3 + 1, p + lane(4)] = perm(a_7, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 9, p0 * 3 + 1, p + lane(4)] = perm(a_8, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 10, p0 * 3 + 1, p + lane(4)] = perm(b_8, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 11, p0 * 3 + 1, p + lane(4)] = perm(b_9, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 12, p0 * 3 + 1, p + lane(4)] = perm(a_7, lane(4) + 12)
          y5[b, o * 32 + v * 16 + 13, p0 * 3 + 1, p + lane(4)] = perm(a_8, lane(4) + 12)
          y5[b, o * 32 + v * 16 + 14, p0 * 3 + 1, p + lane(4)] = perm(b_8, lane(4) + 12)
          y5[b, o * 32 + v * 16 + 15, p0 * 3 + 1, p + lane(4)] = perm(b_9, lane(4) + 12)
        }
        let a_9 = perm2(t[6][v], t[7][v], lane(16) + lane(16) % 2 * 15)
        let b_10 = perm2(t[6][v], t[7][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_10 = perm2(t[8][v], t[6][v], lane(16) + lane(16) % 2 * 15)
        let b_11 = perm2(t[8][v], t[6][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_11 = perm2(a_9, a_10, lane(16) + lane(16) // 2 % 2 * 14)
        let b_12 = perm2(a_9, a_10, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_12 = perm2(b_10, b_11, lane(16) + lane(16) // 2 % 2 * 14)
        let b_13 = perm2(b_10, b_11, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        if lane(4) < 3 {
          y5[b, o * 32 + v * 16, p0 * 3 + 2, p + lane(4)] = perm(a_11, lane(4))
          y5[b, o * 32 + v * 16 + 1, p0 * 3 + 2, p + lane(4)] = perm(a_12, lane(4))
          y5[b, o * 32 + v * 16 + 2, p0 * 3 + 2, p + lane(4)] = perm(b_12, lane(4))
          y5[b, o * 32 + v * 16 + 3, p0 * 3 + 2, p + lane(4)] = perm(b_13, lane(4))
          y5[b, o * 32 + v * 16 + 4, p0 * 3 + 2, p + lane(4)] = perm(a_11, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 5, p0 * 3 + 2, p + lane(4)] = perm(a_12, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 6, p0 * 3 + 2, p + lane(4)] = perm(b_12, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 7, p0 * 3 + 2, p + lane(4)] = perm(b_13, lane(4) + 4)
          y5[b, o * 32 + v * 16 + 8, p0 * 3 + 2, p + lane(4)] = perm(a_11, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 9, p0 * 3 + 2, p + lane(4)] = perm(a_12, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 10, p0 * 3 + 2, p + lane(4)] = perm(b_12, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 11, p0 * 3 + 2, p + lane(4)] = perm(b_13, lane(4) + 8)
          y5[b, o * 32 + v * 16 + 12, p0 * 3 + 2, p + lane(4)] = perm(a_11, lane(4) + 12)
          y5[b, o * 32 + v * 16 + 13, p0 * 3 + 2, p + lane(4)] = perm(a_12, lane(4) + 12)
          y5[b, o * 32 + v * 16 + 14, p0 * 3 + 2, p + lane(4)] = perm(b_12, lane(4) + 12)
          y5[b, o * 32 + v * 16 + 15, p0 * 3 + 2, p + lane(4)] = perm(b_13, lane(4) + 12)
        }
      }
    }
  }
}

