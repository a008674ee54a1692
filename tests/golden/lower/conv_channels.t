# Lanes along the channels, the kernel packed, the operand copied with its zeros; bias and relu on the tile.
entry f(x: f32[B, 3, 8, 8], w: f32[16, 3, 3, 3], b: f32[16]) -> f32[B, 16, 8, 8] { relu(conv(x, w, padding = 1) + b[:, none, none]) }
---
kernel f_0_conv(B in 1..=2147483647; inout panels: f32[1, 3, 3, 3, 16] panel(4, 16) align 64, in x2: f32[16, 3, 3, 3], in x1: f32[B, 3, 8, 8], in x3: f32[16], out y9: f32[B, 16, 8, 8]) {
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
  stage main(b < B, o < 1, p0 < 8) {
    for p in 0..1 unroll {
      reg t[8][1]: f32x16 = 0.0
      for k0 in max(0, 1 - p0)..min(3, 1 - p0 + 8) {
        for i in 0..3 unroll {
          reg b_2[1]: f32x16
          for v in 0..1 unroll {
            b_2[v] = panels[0, k0, 0, i, o * 16 + v * 16 + lane(16)]
          }
          for m in 1..8 unroll {
            let v1 = x1[b, i, p0 + k0 - 1, m - 1]
            let a = v1
            for v in 0..1 unroll {
              t[m][v] = fma(a, b_2[v], t[m][v])
            }
          }
        }
        for i in 0..3 unroll {
          reg b_2[1]: f32x16
          for v in 0..1 unroll {
            b_2[v] = panels[0, k0, 1, i, o * 16 + v * 16 + lane(16)]
          }
          for m in 0..8 unroll {
            let v1 = x1[b, i, p0 + k0 - 1, m]
            let a = v1
            for v in 0..1 unroll {
              t[m][v] = fma(a, b_2[v], t[m][v])
            }
          }
        }
        for i in 0..3 unroll {
          reg b_2[1]: f32x16
          for v in 0..1 unroll {
            b_2[v] = panels[0, k0, 2, i, o * 16 + v * 16 + lane(16)]
          }
          for m in 0..7 unroll {
            let v1 = x1[b, i, p0 + k0 - 1, m + 1]
            let a = v1
            for v in 0..1 unroll {
              t[m][v] = fma(a, b_2[v], t[m][v])
            }
          }
        }
      }
      for v in 0..1 unroll {
        let a = perm2(t[0][v], t[1][v], lane(16) + lane(16) % 2 * 15)
        let b_2 = perm2(t[0][v], t[1][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_2 = perm2(t[2][v], t[3][v], lane(16) + lane(16) % 2 * 15)
        let b_3 = perm2(t[2][v], t[3][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_3 = perm2(t[4][v], t[5][v], lane(16) + lane(16) % 2 * 15)
        let b_4 = perm2(t[4][v], t[5][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_4 = perm2(t[6][v], t[7][v], lane(16) + lane(16) % 2 * 15)
        let b_5 = perm2(t[6][v], t[7][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_5 = perm2(a, a_2, lane(16) + lane(16) // 2 % 2 * 14)
        let b_6 = perm2(a, a_2, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_6 = perm2(b_2, b_3, lane(16) + lane(16) // 2 % 2 * 14)
        let b_7 = perm2(b_2, b_3, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_7 = perm2(a_3, a_4, lane(16) + lane(16) // 2 % 2 * 14)
        let b_8 = perm2(a_3, a_4, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_8 = perm2(b_4, b_5, lane(16) + lane(16) // 2 % 2 * 14)
        let b_9 = perm2(b_4, b_5, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_9 = perm2(a_5, a_7, lane(16) + lane(16) // 4 % 2 * 12)
        let b_10 = perm2(a_5, a_7, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        let a_10 = perm2(a_6, a_8, lane(16) + lane(16) // 4 % 2 * 12)
        let b_11 = perm2(a_6, a_8, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        let a_11 = perm2(b_6, b_8, lane(16) + lane(16) // 4 % 2 * 12)
        let b_12 = perm2(b_6, b_8, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        let a_12 = perm2(b_7, b_9, lane(16) + lane(16) // 4 % 2 * 12)
        let b_13 = perm2(b_7, b_9, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        let v3 = x3[o * 16 + v * 16]
        let v6 = perm(a_9, lane(8)) + v3
        let v8 = v6 <= 0.0
        let v9 = select(v8, 0.0, v6)
        y9[b, o * 16 + v * 16, p0, lane(8)] = v9
        let v3_2 = x3[o * 16 + v * 16 + 1]
        let v6_2 = perm(a_10, lane(8)) + v3_2
        let v8_2 = v6_2 <= 0.0
        let v9_2 = select(v8_2, 0.0, v6_2)
        y9[b, o * 16 + v * 16 + 1, p0, lane(8)] = v9_2
        let v3_3 = x3[o * 16 + v * 16 + 2]
        let v6_3 = perm(a_11, lane(8)) + v3_3
        let v8_3 = v6_3 <= 0.0
        let v9_3 = select(v8_3, 0.0, v6_3)
        y9[b, o * 16 + v * 16 + 2, p0, lane(8)] = v9_3
        let v3_4 = x3[o * 16 + v * 16 + 3]
        let v6_4 = perm(a_12, lane(8)) + v3_4
        let v8_4 = v6_4 <= 0.0
        let v9_4 = select(v8_4, 0.0, v6_4)
        y9[b, o * 16 + v * 16 + 3, p0, lane(8)] = v9_4
        let v3_5 = x3[o * 16 + v * 16 + 4]
        let v6_5 = perm(b_10, lane(8)) + v3_5
        let v8_5 = v6_5 <= 0.0
        let v9_5 = select(v8_5, 0.0, v6_5)
        y9[b, o * 16 + v * 16 + 4, p0, lane(8)] = v9_5
        let v3_6 = x3[o * 16 + v * 16 + 5]
        let v6_6 = perm(b_11, lane(8)) + v3_6
        let v8_6 = v6_6 <= 0.0
        let v9_6 = select(v8_6, 0.0, v6_6)
        y9[b, o * 16 + v * 16 + 5, p0, lane(8)] = v9_6
        let v3_7 = x3[o * 16 + v * 16 + 6]
        let v6_7 = perm(b_12, lane(8)) + v3_7
        let v8_7 = v6_7 <= 0.0
        let v9_7 = select(v8_7, 0.0, v6_7)
        y9[b, o * 16 + v * 16 + 6, p0, lane(8)] = v9_7
        let v3_8 = x3[o * 16 + v * 16 + 7]
        let v6_8 = perm(b_13, lane(8)) + v3_8
        let v8_8 = v6_8 <= 0.0
        let v9_8 = select(v8_8, 0.0, v6_8)
        y9[b, o * 16 + v * 16 + 7, p0, lane(8)] = v9_8
        let v3_9 = x3[o * 16 + v * 16 + 8]
        let v6_9 = perm(a_9, lane(8) + 8) + v3_9
        let v8_9 = v6_9 <= 0.0
        let v9_9 = select(v8_9, 0.0, v6_9)
        y9[b, o * 16 + v * 16 + 8, p0, lane(8)] = v9_9
        let v3_10 = x3[o * 16 + v * 16 + 9]
        let v6_10 = perm(a_10, lane(8) + 8) + v3_10
        let v8_10 = v6_10 <= 0.0
        let v9_10 = select(v8_10, 0.0, v6_10)
        y9[b, o * 16 + v * 16 + 9, p0, lane(8)] = v9_10
        let v3_11 = x3[o * 16 + v * 16 + 10]
        let v6_11 = perm(a_11, lane(8) + 8) + v3_11
        let v8_11 = v6_11 <= 0.0
        let v9_11 = select(v8_11, 0.0, v6_11)
        y9[b, o * 16 + v * 16 + 10, p0, lane(8)] = v9_11
        let v3_12 = x3[o * 16 + v * 16 + 11]
        let v6_12 = perm(a_12, lane(8) + 8) + v3_12
        let v8_12 = v6_12 <= 0.0
        let v9_12 = select(v8_12, 0.0, v6_12)
        y9[b, o * 16 + v * 16 + 11, p0, lane(8)] = v9_12
        let v3_13 = x3[o * 16 + v * 16 + 12]
        let v6_13 = perm(b_10, lane(8) + 8) + v3_13
        let v8_13 = v6_13 <= 0.0
        let v9_13 = select(v8_13, 0.0, v6_13)
        y9[b, o * 16 + v * 16 + 12, p0, lane(8)] = v9_13
        let v3_14 = x3[o * 16 + v * 16 + 13]
        let v6_14 = perm(b_11, lane(8) + 8) + v3_14
        let v8_14 = v6_14 <= 0.0
        let v9_14 = select(v8_14, 0.0, v6_14)
        y9[b, o * 16 + v * 16 + 13, p0, lane(8)] = v9_14
        let v3_15 = x3[o * 16 + v * 16 + 14]
        let v6_15 = perm(b_12, lane(8) + 8) + v3_15
        let v8_15 = v6_15 <= 0.0
        let v9_15 = select(v8_15, 0.0, v6_15)
        y9[b, o * 16 + v * 16 + 14, p0, lane(8)] = v9_15
        let v3_16 = x3[o * 16 + v * 16 + 15]
        let v6_16 = perm(b_13, lane(8) + 8) + v3_16
        let v8_16 = v6_16 <= 0.0
        let v9_16 = select(v8_16, 0.0, v6_16)
        y9[b, o * 16 + v * 16 + 15, p0, lane(8)] = v9_16
      }
    }
    for it in 1..1 {
      let p = it * 8
      reg t[8][1]: f32x16 = 0.0
      for k0 in max(0, 1 - p0)..min(3, 1 - p0 + 8) {
        for i in 0..3 unroll {
          reg b_2[1]: f32x16
          for v in 0..1 unroll {
            b_2[v] = panels[0, k0, 0, i, o * 16 + v * 16 + lane(16)]
          }
          for m in 0..8 unroll {
            let v1 = x1[b, i, p0 + k0 - 1, p + m - 1]
            let a = v1
            for v in 0..1 unroll {
              t[m][v] = fma(a, b_2[v], t[m][v])
            }
          }
        }
        for i in 0..3 unroll {
          reg b_2[1]: f32x16
          for v in 0..1 unroll {
            b_2[v] = panels[0, k0, 1, i, o * 16 + v * 16 + lane(16)]
          }
          for m in 0..8 unroll {
            let v1 = x1[b, i, p0 + k0 - 1, p + m]
            let a = v1
            for v in 0..1 unroll {
              t[m][v] = fma(a, b_2[v], t[m][v])
            }
          }
        }
        for i in 0..3 unroll {
          reg b_2[1]: f32x16
          for v in 0..1 unroll {
            b_2[v] = panels[0, k0, 2, i, o * 16 + v * 16 + lane(16)]
          }
          for m in 0..8 unroll {
            let v1 = x1[b, i, p0 + k0 - 1, p + m + 1]
            let a = v1
            for v in 0..1 unroll {
              t[m][v] = fma(a, b_2[v], t[m][v])
            }
          }
        }
      }
      for v in 0..1 unroll {
        let a = perm2(t[0][v], t[1][v], lane(16) + lane(16) % 2 * 15)
        let b_2 = perm2(t[0][v], t[1][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_2 = perm2(t[2][v], t[3][v], lane(16) + lane(16) % 2 * 15)
        let b_3 = perm2(t[2][v], t[3][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_3 = perm2(t[4][v], t[5][v], lane(16) + lane(16) % 2 * 15)
        let b_4 = perm2(t[4][v], t[5][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_4 = perm2(t[6][v], t[7][v], lane(16) + lane(16) % 2 * 15)
        let b_5 = perm2(t[6][v], t[7][v], lane(16) + lane(16) % 2 * 15 + 1)
        let a_5 = perm2(a, a_2, lane(16) + lane(16) // 2 % 2 * 14)
        let b_6 = perm2(a, a_2, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_6 = perm2(b_2, b_3, lane(16) + lane(16) // 2 % 2 * 14)
        let b_7 = perm2(b_2, b_3, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_7 = perm2(a_3, a_4, lane(16) + lane(16) // 2 % 2 * 14)
        let b_8 = perm2(a_3, a_4, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_8 = perm2(b_4, b_5, lane(16) + lane(16) // 2 % 2 * 14)
        let b_9 = perm2(b_4, b_5, lane(16) + lane(16) // 2 % 2 * 14 + 2)
        let a_9 = perm2(a_5, a_7, lane(16) + lane(16) // 4 % 2 * 12)
        let b_10 = perm2(a_5, a_7, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        let a_10 = perm2(a_6, a_8, lane(16) + lane(16) // 4 % 2 * 12)
        let b_11 = perm2(a_6, a_8, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        let a_11 = perm2(b_6, b_8, lane(16) + lane(16) // 4 % 2 * 12)
        let b_12 = perm2(b_6, b_8, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        let a_12 = perm2(b_7, b_9, lane(16) + lane(16) // 4 % 2 * 12)
        let b_13 = perm2(b_7, b_9, lane(16) + lane(16) // 4 % 2 * 12 + 4)
        let v3 = x3[o * 16 + v * 16]
        let v6 = perm(a_9, lane(8)) + v3
        let v8 = v6 <= 0.0
        let v9 = select(v8, 0.0, v6)
        y9[b, o * 16 + v * 16, p0, p + lane(8)] = v9
        let v3_2 = x3[o * 16 + v * 16 + 1]
        let v6_2 = perm(a_10, lane(8)) + v3_2
        let v8_2 = v6_2 <= 0.0
        let v9_2 = select(v8_2, 0.0, v6_2)
        y9[b, o * 16 + v * 16 + 1, p0, p + lane(8)] = v9_2
        let v3_3 = x3[o * 16 + v * 16 + 2]
        let v6_3 = perm(a_11, lane(8)) + v3_3
        let v8_3 = v6_3 <= 0.0
        let v9_3 = select(v8_3, 0.0, v6_3)
        y9[b, o * 16 + v * 16 + 2, p0, p + lane(8)] = v9_3
        let v3_4 = x3[o * 16 + v * 16 + 3]
        let v6_4 = perm(a_12, lane(8)) + v3_4
        let v8_4 = v6_4 <= 0.0
        let v9_4 = select(v8_4, 0.0, v6_4)
        y9[b, o * 16 + v * 16 + 3, p0, p + lane(8)] = v9_4
        let v3_5 = x3[o * 16 + v * 16 + 4]
        let v6_5 = perm(b_10, lane(8)) + v3_5
        let v8_5 = v6_5 <= 0.0
        let v9_5 = select(v8_5, 0.0, v6_5)
        y9[b, o * 16 + v * 16 + 4, p0, p + lane(8)] = v9_5
        let v3_6 = x3[o * 16 + v * 16 + 5]
        let v6_6 = perm(b_11, lane(8)) + v3_6
        let v8_6 = v6_6 <= 0.0
        let v9_6 = select(v8_6, 0.0, v6_6)
        y9[b, o * 16 + v * 16 + 5, p0, p + lane(8)] = v9_6
        let v3_7 = x3[o * 16 + v * 16 + 6]
        let v6_7 = perm(b_12, lane(8)) + v3_7
        let v8_7 = v6_7 <= 0.0
        let v9_7 = select(v8_7, 0.0, v6_7)
        y9[b, o * 16 + v * 16 + 6, p0, p + lane(8)] = v9_7
        let v3_8 = x3[o * 16 + v * 16 + 7]
        let v6_8 = perm(b_13, lane(8)) + v3_8
        let v8_8 = v6_8 <= 0.0
        let v9_8 = select(v8_8, 0.0, v6_8)
        y9[b, o * 16 + v * 16 + 7, p0, p + lane(8)] = v9_8
        let v3_9 = x3[o * 16 + v * 16 + 8]
        let v6_9 = perm(a_9, lane(8) + 8) + v3_9
        let v8_9 = v6_9 <= 0.0
        let v9_9 = select(v8_9, 0.0, v6_9)
        y9[b, o * 16 + v * 16 + 8, p0, p + lane(8)] = v9_9
        let v3_10 = x3[o * 16 + v * 16 + 9]
        let v6_10 = perm(a_10, lane(8) + 8) + v3_10
        let v8_10 = v6_10 <= 0.0
        let v9_10 = select(v8_10, 0.0, v6_10)
        y9[b, o * 16 + v * 16 + 9, p0, p + lane(8)] = v9_10
        let v3_11 = x3[o * 16 + v * 16 + 10]
        let v6_11 = perm(a_11, lane(8) + 8) + v3_11
        let v8_11 = v6_11 <= 0.0
        let v9_11 = select(v8_11, 0.0, v6_11)
        y9[b, o * 16 + v * 16 + 10, p0, p + lane(8)] = v9_11
        let v3_12 = x3[o * 16 + v * 16 + 11]
        let v6_12 = perm(a_12, lane(8) + 8) + v3_12
        let v8_12 = v6_12 <= 0.0
        let v9_12 = select(v8_12, 0.0, v6_12)
        y9[b, o * 16 + v * 16 + 11, p0, p + lane(8)] = v9_12
        let v3_13 = x3[o * 16 + v * 16 + 12]
        let v6_13 = perm(b_10, lane(8) + 8) + v3_13
        let v8_13 = v6_13 <= 0.0
        let v9_13 = select(v8_13, 0.0, v6_13)
        y9[b, o * 16 + v * 16 + 12, p0, p + lane(8)] = v9_13
        let v3_14 = x3[o * 16 + v * 16 + 13]
        let v6_14 = perm(b_11, lane(8) + 8) + v3_14
        let v8_14 = v6_14 <= 0.0
        let v9_14 = select(v8_14, 0.0, v6_14)
        y9[b, o * 16 + v * 16 + 13, p0, p + lane(8)] = v9_14
        let v3_15 = x3[o * 16 + v * 16 + 14]
        let v6_15 = perm(b_12, lane(8) + 8) + v3_15
        let v8_15 = v6_15 <= 0.0
        let v9_15 = select(v8_15, 0.0, v6_15)
        y9[b, o * 16 + v * 16 + 14, p0, p + lane(8)] = v9_15
        let v3_16 = x3[o * 16 + v * 16 + 15]
        let v6_16 = perm(b_13, lane(8) + 8) + v3_16
        let v8_16 = v6_16 <= 0.0
        let v9_16 = select(v8_16, 0.0, v6_16)
        y9[b, o * 16 + v * 16 + 15, p0, p + lane(8)] = v9_16
      }
    }
  }
}

