# Without masks they are done by single vectors, then one by one.
# level: v2
entry f(x: f32[2, K], y: f32[K, 7]) -> f32[2, 7] { x @ y }
---
kernel f_0_gemm(K in 1..=2147483647; in x2: f32[K, 7], in x1: f32[2, K], out y3: f32[2, 7]) {
  stage main(jp < 1) {
    for c in 0..1 {
      let col = c * 4
      for it in 0..1 {
        let row = it * 2
        reg t[2][1]: f32x4 = 0.0
        for k in 0..K {
          reg b[1]: f32x4
          for v in 0..1 unroll {
            let v2 = x2[k, col + v * 4 + lane(4)]
            b[v] = v2
          }
          for i in 0..2 unroll {
            let v1 = x1[row + i, k]
            let a = v1
            for v in 0..1 unroll {
              t[i][v] = fma(a, b[v], t[i][v])
            }
          }
        }
        for i in 0..2 unroll {
          for v in 0..1 unroll {
            y3[row + i, col + v * 4 + lane(4)] = t[i][v]
          }
        }
      }
    }
    for c in 0..3 {
      let col = 4 + c
      for it in 0..1 {
        let row = it * 2
        reg t[2][1]: f32 = 0.0
        for k in 0..K {
          reg b[1]: f32
          for v in 0..1 unroll {
            let v2 = x2[k, col + v]
            b[v] = v2
          }
          for i in 0..2 unroll {
            let v1 = x1[row + i, k]
            let a = v1
            for v in 0..1 unroll {
              t[i][v] = fma(a, b[v], t[i][v])
            }
          }
        }
        for i in 0..2 unroll {
          for v in 0..1 unroll {
            y3[row + i, col + v] = t[i][v]
          }
        }
      }
    }
  }
}

