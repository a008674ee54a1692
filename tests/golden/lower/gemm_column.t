# One column: a row is a sum of its own, the lanes lie along it.
entry f(x: f32[4, K], v: f32[K]) -> f32[4] { (x @ v[:, none])[:, 0] }
---
kernel f_0_gemm(K in 1..=2147483647; in x2: f32[K], in x1: f32[4, K], out y4: f32[4, 1]) {
  stage main(jp < 1) {
    for it in 0..1 {
      let row = it * 4
      reg t[4][1]: f32x16 = 0.0
      for k in 0..K vector 16 tail mask {
        reg b[1]: f32x16
        for v in 0..1 unroll {
          let v2 = x2[k]
          b[v] = v2
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
          let sum = hadd(t[i][v])
          y4[row + i, jp + v] = sum
        }
      }
    }
  }
}

kernel f_1_elementwise(K in 1..=2147483647; in v4: f32[4], out y5: f32[4]) {
  stage main(t < 1) {
    for j in 0..4 vector 16 tail mask {
      let v5 = v4[j]
      y5[j] = v5
    }
  }
}

