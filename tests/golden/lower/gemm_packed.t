# A transposed right side is packed into panels first.
entry f(x: f32[4, K], y: f32[16, K]) -> f32[4, 16] { x @ y.T }
---
kernel f_0_gemm(K in 1..=2147483647; inout panels: f32[K, 16] panel(1, 16) align 64, in x2: f32[16, K], in x1: f32[4, K], out y3: f32[4, 16]) {
  stage pack(block < 1) {
    for kb in 0..K // 16 {
      let v2 = x2[block * 16, kb * 16 + lane(16)]
      let v2_2 = x2[block * 16 + 1, kb * 16 + lane(16)]
      let v2_3 = x2[block * 16 + 2, kb * 16 + lane(16)]
      let v2_4 = x2[block * 16 + 3, kb * 16 + lane(16)]
      let v2_5 = x2[block * 16 + 4, kb * 16 + lane(16)]
      let v2_6 = x2[block * 16 + 5, kb * 16 + lane(16)]
      let v2_7 = x2[block * 16 + 6, kb * 16 + lane(16)]
      let v2_8 = x2[block * 16 + 7, kb * 16 + lane(16)]
      let v2_9 = x2[block * 16 + 8, kb * 16 + lane(16)]
      let v2_10 = x2[block * 16 + 9, kb * 16 + lane(16)]
      let v2_11 = x2[block * 16 + 10, kb * 16 + lane(16)]
      let v2_12 = x2[block * 16 + 11, kb * 16 + lane(16)]
      let v2_13 = x2[block * 16 + 12, kb * 16 + lane(16)]
      let v2_14 = x2[block * 16 + 13, kb * 16 + lane(16)]
      let v2_15 = x2[block * 16 + 14, kb * 16 + lane(16)]
      let v2_16 = x2[block * 16 + 15, kb * 16 + lane(16)]
      let a = perm2(v2, v2_2, lane(16) + lane(16) % 2 * 15)
      let b = perm2(v2, v2_2, lane(16) + lane(16) % 2 * 15 + 1)
      let a_2 = perm2(v2_3, v2_4, lane(16) + lane(16) % 2 * 15)
      let b_2 = perm2(v2_3, v2_4, lane(16) + lane(16) % 2 * 15 + 1)
      let a_3 = perm2(v2_5, v2_6, lane(16) + lane(16) % 2 * 15)
      let b_3 = perm2(v2_5, v2_6, lane(16) + lane(16) % 2 * 15 + 1)
      let a_4 = perm2(v2_7, v2_8, lane(16) + lane(16) % 2 * 15)
      let b_4 = perm2(v2_7, v2_8, lane(16) + lane(16) % 2 * 15 + 1)
      let a_5 = perm2(v2_9, v2_10, lane(16) + lane(16) % 2 * 15)
      let b_5 = perm2(v2_9, v2_10, lane(16) + lane(16) % 2 * 15 + 1)
      let a_6 = perm2(v2_11, v2_12, lane(16) + lane(16) % 2 * 15)
      let b_6 = perm2(v2_11, v2_12, lane(16) + lane(16) % 2 * 15 + 1)
      let a_7 = perm2(v2_13, v2_14, lane(16) + lane(16) % 2 * 15)
      let b_7 = perm2(v2_13, v2_14, lane(16) + lane(16) % 2 * 15 + 1)
      let a_8 = perm2(v2_15, v2_16, lane(16) + lane(16) % 2 * 15)
      let b_8 = perm2(v2_15, v2_16, lane(16) + lane(16) % 2 * 15 + 1)
      let a_9 = perm2(a, a_2, lane(16) + lane(16) // 2 % 2 * 14)
      let b_9 = perm2(a, a_2, lane(16) + lane(16) // 2 % 2 * 14 + 2)
      let a_10 = perm2(b, b_2, lane(16) + lane(16) // 2 % 2 * 14)
      let b_10 = perm2(b, b_2, lane(16) + lane(16) // 2 % 2 * 14 + 2)
      let a_11 = perm2(a_3, a_4, lane(16) + lane(16) // 2 % 2 * 14)
      let b_11 = perm2(a_3, a_4, lane(16) + lane(16) // 2 % 2 * 14 + 2)
      let a_12 = perm2(b_3, b_4, lane(16) + lane(16) // 2 % 2 * 14)
      let b_12 = perm2(b_3, b_4, lane(16) + lane(16) // 2 % 2 * 14 + 2)
      let a_13 = perm2(a_5, a_6, lane(16) + lane(16) // 2 % 2 * 14)
      let b_13 = perm2(a_5, a_6, lane(16) + lane(16) // 2 % 2 * 14 + 2)
      let a_14 = perm2(b_5, b_6, lane(16) + lane(16) // 2 % 2 * 14)
      let b_14 = perm2(b_5, b_6, lane(16) + lane(16) // 2 % 2 * 14 + 2)
      let a_15 = perm2(a_7, a_8, lane(16) + lane(16) // 2 % 2 * 14)
      let b_15 = perm2(a_7, a_8, lane(16) + lane(16) // 2 % 2 * 14 + 2)
      let a_16 = perm2(b_7, b_8, lane(16) + lane(16) // 2 % 2 * 14)
      let b_16 = perm2(b_7, b_8, lane(16) + lane(16) // 2 % 2 * 14 + 2)
      let a_17 = perm2(a_9, a_11, lane(16) + lane(16) // 4 % 2 * 12)
      let b_17 = perm2(a_9, a_11, lane(16) + lane(16) // 4 % 2 * 12 + 4)
      let a_18 = perm2(a_10, a_12, lane(16) + lane(16) // 4 % 2 * 12)
      let b_18 = perm2(a_10, a_12, lane(16) + lane(16) // 4 % 2 * 12 + 4)
      let a_19 = perm2(b_9, b_11, lane(16) + lane(16) // 4 % 2 * 12)
      let b_19 = perm2(b_9, b_11, lane(16) + lane(16) // 4 % 2 * 12 + 4)
      let a_20 = perm2(b_10, b_12, lane(16) + lane(16) // 4 % 2 * 12)
      let b_20 = perm2(b_10, b_12, lane(16) + lane(16) // 4 % 2 * 12 + 4)
      let a_21 = perm2(a_13, a_15, lane(16) + lane(16) // 4 % 2 * 12)
      let b_21 = perm2(a_13, a_15, lane(16) + lane(16) // 4 % 2 * 12 + 4)
      let a_22 = perm2(a_14, a_16, lane(16) + lane(16) // 4 % 2 * 12)
      let b_22 = perm2(a_14, a_16, lane(16) + lane(16) // 4 % 2 * 12 + 4)
      let a_23 = perm2(b_13, b_15, lane(16) + lane(16) // 4 % 2 * 12)
      let b_23 = perm2(b_13, b_15, lane(16) + lane(16) // 4 % 2 * 12 + 4)
      let a_24 = perm2(b_14, b_16, lane(16) + lane(16) // 4 % 2 * 12)
      let b_24 = perm2(b_14, b_16, lane(16) + lane(16) // 4 % 2 * 12 + 4)
      let a_25 = perm2(a_17, a_21, lane(16) + lane(16) // 8 % 2 * 8)
      let b_25 = perm2(a_17, a_21, lane(16) + lane(16) // 8 % 2 * 8 + 8)
      let a_26 = perm2(a_18, a_22, lane(16) + lane(16) // 8 % 2 * 8)
      let b_26 = perm2(a_18, a_22, lane(16) + lane(16) // 8 % 2 * 8 + 8)
      let a_27 = perm2(a_19, a_23, lane(16) + lane(16) // 8 % 2 * 8)
      let b_27 = perm2(a_19, a_23, lane(16) + lane(16) // 8 % 2 * 8 + 8)
      let a_28 = perm2(a_20, a_24, lane(16) + lane(16) // 8 % 2 * 8)
      let b_28 = perm2(a_20, a_24, lane(16) + lane(16) // 8 % 2 * 8 + 8)
      let a_29 = perm2(b_17, b_21, lane(16) + lane(16) // 8 % 2 * 8)
      let b_29 = perm2(b_17, b_21, lane(16) + lane(16) // 8 % 2 * 8 + 8)
      let a_30 = perm2(b_18, b_22, lane(16) + lane(16) // 8 % 2 * 8)
      let b_30 = perm2(b_18, b_22, lane(16) + lane(16) // 8 % 2 * 8 + 8)
      let a_31 = perm2(b_19, b_23, lane(16) + lane(16) // 8 % 2 * 8)
      let b_31 = perm2(b_19, b_23, lane(16) + lane(16) // 8 % 2 * 8 + 8)
      let a_32 = perm2(b_20, b_24, lane(16) + lane(16) // 8 % 2 * 8)
      let b_32 = perm2(b_20, b_24, lane(16) + lane(16) // 8 % 2 * 8 + 8)
      panels[kb * 16, block * 16 + lane(16)] = a_25
      panels[kb * 16 + 1, block * 16 + lane(16)] = a_26
      panels[kb * 16 + 2, block * 16 + lane(16)] = a_27
      panels[kb * 16 + 3, block * 16 + lane(16)] = a_28
      panels[kb * 16 + 4, block * 16 + lane(16)] = a_29
      panels[kb * 16 + 5, block * 16 + lane(16)] = a_30
      panels[kb * 16 + 6, block * 16 + lane(16)] = a_31
      panels[kb * 16 + 7, block * 16 + lane(16)] = a_32
      panels[kb * 16 + 8, block * 16 + lane(16)] = b_25
      panels[kb * 16 + 9, block * 16 + lane(16)] = b_26
      panels[kb * 16 + 10, block * 16 + lane(16)] = b_27
      panels[kb * 16 + 11, block * 16 + lane(16)] = b_28
      panels[kb * 16 + 12, block * 16 + lane(16)] = b_29
      panels[kb * 16 + 13, block * 16 + lane(16)] = b_30
      panels[kb * 16 + 14, block * 16 + lane(16)] = b_31
      panels[kb * 16 + 15, block * 16 + lane(16)] = b_32
    }
    for rest in K // 16 * 16..K {
      for n in block * 16..block * 16 + 16 {
        let v2 = x2[min(n, 15), rest]
        panels[rest, n] = select(n < 16, v2, 0.0)
      }
    }
  }
  stage main(jp < 1) {
    for it in 0..1 {
      let row = it * 4
      reg t[4][1]: f32x16 = 0.0
      for k in 0..K {
        reg b[1]: f32x16
        for v in 0..1 unroll {
          b[v] = panels[k, jp * 16 + v * 16 + lane(16)]
        }
        prefetch panels[k + 8, jp * 16]
        for i in 0..4 unroll {
          let v1 = x1[row + i, k]
          let a = v1
          for v in 0..1 unroll {
            t[i][v] = fma(a, b[v], t[i][v])
          }
        }
      }
      for i in 0..4 unroll {
        for v in 0..1 unroll {
          y3[row + i, jp * 16 + v * 16 + lane(16)] = t[i][v]
        }
      }
    }
  }
}

