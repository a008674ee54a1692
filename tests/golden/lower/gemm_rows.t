# Rows of unknown number: full tiles, then the rest in halves.
entry f(x: f32[M, 8], y: f32[8, 64]) -> f32[M, 64] { x @ y }
---
kernel f_0_gemm(M in 1..=2147483647; in x2: f32[8, 64], in x1: f32[M, 8], out y3: f32[M, 64]) {
  stage main(jp < 1, ib < ((M + 47) // 48)) {
    let end = min(M, ib * 48 + 48)
    for it in 0..(end - ib * 48) // 6 {
      let row = ib * 48 + it * 6
      reg t[6][4]: f32x16 = 0.0
      for k in 0..8 {
        reg b[4]: f32x16
        for v in 0..4 unroll {
          let v2 = x2[k, jp * 64 + v * 16 + lane(16)]
          b[v] = v2
        }
        for i in 0..6 unroll {
          let v1 = x1[row + i, k]
          let a = v1
          for v in 0..4 unroll {
            t[i][v] = fma(a, b[v], t[i][v])
          }
        }
      }
      for i in 0..6 unroll {
        for v in 0..4 unroll {
          y3[row + i, jp * 64 + v * 16 + lane(16)] = t[i][v]
        }
      }
    }
    let rest = end - (end - ib * 48) % 6
    if rest + 4 <= end {
      reg t[4][4]: f32x16 = 0.0
      for k in 0..8 {
        reg b[4]: f32x16
        for v in 0..4 unroll {
          let v2 = x2[k, jp * 64 + v * 16 + lane(16)]
          b[v] = v2
        }
        for i in 0..4 unroll {
          let v1 = x1[rest + i, k]
          let a = v1
          for v in 0..4 unroll {
            t[i][v] = fma(a, b[v], t[i][v])
          }
        }
      }
      for i in 0..4 unroll {
        for v in 0..4 unroll {
          y3[rest + i, jp * 64 + v * 16 + lane(16)] = t[i][v]
        }
      }
    }
    let rest_2 = rest + select(rest + 4 <= end, idx(4), idx(0))
    if rest_2 + 2 <= end {
      reg t[2][4]: f32x16 = 0.0
      for k in 0..8 {
        reg b[4]: f32x16
        for v in 0..4 unroll {
          let v2 = x2[k, jp * 64 + v * 16 + lane(16)]
          b[v] = v2
        }
        for i in 0..2 unroll {
          let v1 = x1[rest_2 + i, k]
          let a = v1
          for v in 0..4 unroll {
            t[i][v] = fma(a, b[v], t[i][v])
          }
        }
      }
      for i in 0..2 unroll {
        for v in 0..4 unroll {
          y3[rest_2 + i, jp * 64 + v * 16 + lane(16)] = t[i][v]
        }
      }
    }
    let rest_3 = rest_2 + select(rest_2 + 2 <= end, idx(2), idx(0))
    if rest_3 + 1 <= end {
      reg t[1][4]: f32x16 = 0.0
      for k in 0..8 {
        reg b[4]: f32x16
        for v in 0..4 unroll {
          let v2 = x2[k, jp * 64 + v * 16 + lane(16)]
          b[v] = v2
        }
        for i in 0..1 unroll {
          let v1 = x1[rest_3 + i, k]
          let a = v1
          for v in 0..4 unroll {
            t[i][v] = fma(a, b[v], t[i][v])
          }
        }
      }
      for i in 0..1 unroll {
        for v in 0..4 unroll {
          y3[rest_3 + i, jp * 64 + v * 16 + lane(16)] = t[i][v]
        }
      }
    }
    let rest_4 = rest_3 + select(rest_3 + 1 <= end, idx(1), idx(0))
  }
}

