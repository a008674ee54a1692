# Prologue on the left side, epilogue on the tile.
entry f(x: f32[2, K], y: f32[K, 16], b: f32[16]) -> f32[2, 16] { relu((x * 2) @ y + b) }
---
kernel f_0_gemm(K in 1..=2147483647; in x2: f32[K, 16], in x1: f32[2, K], in x3: f32[16], out y11: f32[2, 16]) {
  stage main(jp < 1) {
    for it in 0..1 {
      let row = it * 2
      reg t[2][1]: f32x16 = 0.0
      for k in 0..K {
        reg b[1]: f32x16
        for v in 0..1 unroll {
          let v2 = x2[k, jp * 16 + v * 16 + lane(16)]
          b[v] = v2
        }
        for i in 0..2 unroll {
          let v1 = x1[row + i, k]
          let v5 = v1 * 2.0
          let a = v5
          for v in 0..1 unroll {
            t[i][v] = fma(a, b[v], t[i][v])
          }
        }
      }
      for i in 0..2 unroll {
        for v in 0..1 unroll {
          let v3 = x3[jp * 16 + v * 16 + lane(16)]
          let v8 = t[i][v] + v3
          let v10 = v8 <= 0.0
          let v11 = select(v10, 0.0, v8)
          y11[row + i, jp * 16 + v * 16 + lane(16)] = v11
        }
      }
    }
  }
}

