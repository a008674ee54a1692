# The right side is read as it lies where its columns are contiguous.
entry f(x: f32[6, K], y: f32[K, 32]) -> f32[6, 32] { x @ y }
---
kernel f_0_gemm(K in 1..=2147483647; in x2: f32[K, 32], in x1: f32[6, K], out y3: f32[6, 32]) {
  stage main(jp < 1) {
    for it in 0..1 {
      let row = it * 6
      reg t[6][2]: f32x16 = 0.0
      for k in 0..K {
        reg b[2]: f32x16
        for v in 0..2 unroll {
          let v2 = x2[k, jp * 32 + v * 16 + lane(16)]
          b[v] = v2
        }
        for i in 0..6 unroll {
          let v1 = x1[row + i, k]
          let a = v1
          for v in 0..2 unroll {
            t[i][v] = fma(a, b[v], t[i][v])
          }
        }
      }
      for i in 0..6 unroll {
        for v in 0..2 unroll {
          y3[row + i, jp * 32 + v * 16 + lane(16)] = t[i][v]
        }
      }
    }
  }
}

