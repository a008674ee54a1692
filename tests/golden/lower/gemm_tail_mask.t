# Columns that do not fill a vector are masked where the level has masks.
entry f(x: f32[2, K], y: f32[K, 20]) -> f32[2, 20] { x @ y }
---
kernel f_0_gemm(K in 1..=2147483647; in x2: f32[K, 20], in x1: f32[2, K], out y3: f32[2, 20]) {
  stage main(jp < 1) {
    for it in 0..1 {
      let row = it * 2
      reg t[2][2]: f32x16 = 0.0
      for k in 0..K {
        reg b[2]: f32x16
        for v in 0..2 unroll {
          b[v] = load(x2[k, v * 16 + lane(16)], v * 16 + lane(16) < 20)
        }
        for i in 0..2 unroll {
          let v1 = x1[row + i, k]
          let a = v1
          for v in 0..2 unroll {
            t[i][v] = fma(a, b[v], t[i][v])
          }
        }
      }
      for i in 0..2 unroll {
        for v in 0..2 unroll {
          if v * 16 + lane(16) < 20 {
            y3[row + i, v * 16 + lane(16)] = t[i][v]
          }
        }
      }
    }
  }
}

