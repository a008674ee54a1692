# A chain of 16 bits is loaded, computed in f32 and rounded where it is stored; what the kernel makes itself it reads unrounded. The panels of a product stay 16 bits wide.
# level: v3
param w: bf16[24, 8] = full([24, 8], 0.5, bf16)
entry f(x: bf16[5, 8]) -> {y: bf16[5, 24]} {
  {y = relu(x @ w.T) + 1}
}
entry g(x: f16[N]) -> {y: f16[N], z: f32[N]} where N <= 99 {
  y = exp(x)
  {y, z = y.to(f32) * 3}
}
---
kernel f_0_gemm(; inout panels: bf16[8, 32] panel(1, 16) align 64, in p2: bf16[24, 8], in x1: bf16[5, 8], out y17: bf16[5, 24]) {
  stage pack(block < 4) {
    for kb in 0..1 {
      let v2 = p2[min(block * 8, 23), kb * 8 + lane(8)]
      let v2_2 = p2[min(block * 8 + 1, 23), kb * 8 + lane(8)]
      let v2_3 = p2[min(block * 8 + 2, 23), kb * 8 + lane(8)]
      let v2_4 = p2[min(block * 8 + 3, 23), kb * 8 + lane(8)]
      let v2_5 = p2[min(block * 8 + 4, 23), kb * 8 + lane(8)]
      let v2_6 = p2[min(block * 8 + 5, 23), kb * 8 + lane(8)]
      let v2_7 = p2[min(block * 8 + 6, 23), kb * 8 + lane(8)]
      let v2_8 = p2[min(block * 8 + 7, 23), kb * 8 + lane(8)]
      let a = perm2(select(block * 8 < 24, v2, 0.0), select(block * 8 + 1 < 24, v2_2, 0.0), lane(8) + lane(8) % 2 * 7)
      let b = perm2(select(block * 8 < 24, v2, 0.0), select(block * 8 + 1 < 24, v2_2, 0.0), lane(8) + lane(8) % 2 * 7 + 1)
      let a_2 = perm2(select(block * 8 + 2 < 24, v2_3, 0.0), select(block * 8 + 3 < 24, v2_4, 0.0), lane(8) + lane(8) % 2 * 7)
      let b_2 = perm2(select(block * 8 + 2 < 24, v2_3, 0.0), select(block * 8 + 3 < 24, v2_4, 0.0), lane(8) + lane(8) % 2 * 7 + 1)
      let a_3 = perm2(select(block * 8 + 4 < 24, v2_5, 0.0), select(block * 8 + 5 < 24, v2_6, 0.0), lane(8) + lane(8) % 2 * 7)
      let b_3 = perm2(select(block * 8 + 4 < 24, v2_5, 0.0), select(block * 8 + 5 < 24, v2_6, 0.0), lane(8) + lane(8) % 2 * 7 + 1)
      let a_4 = perm2(select(block * 8 + 6 < 24, v2_7, 0.0), select(block * 8 + 7 < 24, v2_8, 0.0), lane(8) + lane(8) % 2 * 7)
      let b_4 = perm2(select(block * 8 + 6 < 24, v2_7, 0.0), select(block * 8 + 7 < 24, v2_8, 0.0), lane(8) + lane(8) % 2 * 7 + 1)
      let a_5 = perm2(a, a_2, lane(8) + lane(8) // 2 % 2 * 6)
      let b_5 = perm2(a, a_2, lane(8) + lane(8) // 2 % 2 * 6 + 2)
      let a_6 = perm2(b, b_2, lane(8) + lane(8) // 2 % 2 * 6)
      let b_6 = perm2(b, b_2, lane(8) + lane(8) // 2 % 2 * 6 + 2)
      let a_7 = perm2(a_3, a_4, lane(8) + lane(8) // 2 % 2 * 6)
      let b_7 = perm2(a_3, a_4, lane(8) + lane(8) // 2 % 2 * 6 + 2)
      let a_8 = perm2(b_3, b_4, lane(8) + lane(8) // 2 % 2 * 6)
      let b_8 = perm2(b_3, b_4, lane(8) + lane(8) // 2 % 2 * 6 + 2)
      let a_9 = perm2(a_5, a_7, lane(8) + lane(8) // 4 % 2 * 4)
      let b_9 = perm2(a_5, a_7, lane(8) + lane(8) // 4 % 2 * 4 + 4)
      let a_10 = perm2(a_6, a_8, lane(8) + lane(8) // 4 % 2 * 4)
      let b_10 = perm2(a_6, a_8, lane(8) + lane(8) // 4 % 2 * 4 + 4)
      let a_11 = perm2(b_5, b_7, lane(8) + lane(8) // 4 % 2 * 4)
      let b_11 = perm2(b_5, b_7, lane(8) + lane(8) // 4 % 2 * 4 + 4)
      let a_12 = perm2(b_6, b_8, lane(8) + lane(8) // 4 % 2 * 4)
      let b_12 = perm2(b_6, b_8, lane(8) + lane(8) // 4 % 2 * 4 + 4)
      panels[kb * 8, block * 8 + lane(8)] = a_9
      panels[kb * 8 + 1, block * 8 + lane(8)] = a_10
      panels[kb * 8 + 2, block * 8 + lane(8)] = a_11
      panels[kb * 8 + 3, block * 8 + lane(8)] = a_12
      panels[kb * 8 + 4, block * 8 + lane(8)] = b_9
      panels[kb * 8 + 5, block * 8 + lane(8)] = b_10
      panels[kb * 8 + 6, block * 8 + lane(8)] = b_11
      panels[kb * 8 + 7, block * 8 + lane(8)] = b_12
    }
  }
  stage main(jp < 2) {
    if jp < 1 {
      for it in 0..1 {
        let row = it * 5
        reg t[5][2]: f32x8 = 0.0
        for k in 0..8 {
          reg b[2]: f32x8
          for v in 0..2 unroll {
            b[v] = f32(panels[k, jp * 16 + v * 8 + lane(8)])
          }
          prefetch panels[k + 8, jp * 16]
          for i in 0..5 unroll {
            let a = f32(splat(x1[row + i, k], 8))
            for v in 0..2 unroll {
              t[i][v] = fma(a, b[v], t[i][v])
            }
          }
        }
        for i in 0..5 unroll {
          for v in 0..2 unroll {
            let v10 = t[i][v] <= 0.0
            let v11 = select(v10, 0.0, t[i][v])
            let v16 = v11 + 1.0
            let v17 = bf16(v16)
            y17[row + i, jp * 16 + v * 8 + lane(8)] = v17
          }
        }
      }
    } else {
      for c in 0..1 {
        let col = 16 + c * 8
        for it in 0..1 {
          let row = it * 5
          reg t[5][1]: f32x8 = 0.0
          for k in 0..8 {
            reg b[1]: f32x8
            for v in 0..1 unroll {
              b[v] = f32(panels[k, col + v * 8 + lane(8)])
            }
            prefetch panels[k + 8, col]
            for i in 0..5 unroll {
              let a = f32(splat(x1[row + i, k], 8))
              for v in 0..1 unroll {
                t[i][v] = fma(a, b[v], t[i][v])
              }
            }
          }
          for i in 0..5 unroll {
            for v in 0..1 unroll {
              let v10 = t[i][v] <= 0.0
              let v11 = select(v10, 0.0, t[i][v])
              let v16 = v11 + 1.0
              let v17 = bf16(v16)
              y17[row + i, col + v * 8 + lane(8)] = v17
            }
          }
        }
      }
      for c in 0..0 {
        let col = 24 + c
        for it in 0..1 {
          let row = it * 5
          reg t[5][1]: f32 = 0.0
          for k in 0..8 {
            reg b[1]: f32
            for v in 0..1 unroll {
              b[v] = f32(panels[k, col + v])
            }
            prefetch panels[k + 8, col]
            for i in 0..5 unroll {
              let v1 = x1[row + i, k]
              let a = f32(v1)
              for v in 0..1 unroll {
                t[i][v] = fma(a, b[v], t[i][v])
              }
            }
          }
          for i in 0..5 unroll {
            for v in 0..1 unroll {
              let v10 = t[i][v] <= 0.0
              let v11 = select(v10, 0.0, t[i][v])
              let v16 = v11 + 1.0
              let v17 = bf16(v16)
              y17[row + i, col + v] = v17
            }
          }
        }
      }
    }
  }
}

kernel g_0_elementwise(N in 1..=99; in x1: f16[N], out y4: f16[N], out y7: f32[N]) {
  stage main(t < ((N + 4095) // 4096)) {
    for j in t * 4096..min(N, t * 4096 + 4096) vector 8 tail peel {
      let v1 = x1[j]
      let v3 = exp(f32(v1))
      let v4 = f16(v3)
      let v7 = v3 * 3.0
      y4[j] = v4
      y7[j] = v7
    }
  }
}

kernel sinter_init_0_elementwise(; out y2: bf16[192]) {
  stage main(t < 1) {
    for j in 0..192 vector 8 tail peel {
      let v2 = bf16(0.5)
      y2[j] = v2
    }
  }
}

