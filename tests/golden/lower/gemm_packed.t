# A transposed right side is packed into panels first.
entry f(x: f32[4, K], y: f32[16, K]) -> f32[4, 16] { x @ y.T }
---
kernel f_0_gemm(K in 1..=2147483647; inout panels: f32[K, 16] panel(1, 16) align 64, in x2: f32[16, K], in x1: f32[4, K], out y3: f32[4, 16]) {
  stage pack(n < 16) {
    for k in 0..K {
      let v2 = x2[min(n, 15), k]
      panels[k, n] = select(n < 16, v2, 0.0)
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
          prefetch panels[k + 8, jp * 16 + v * 16 + lane(16)]
        }
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

