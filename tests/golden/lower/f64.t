# Eight lanes of f64 on v4; f32 beside f64 has as many.
entry f(x: f64[N], y: f32[N]) -> f64[N] { x + y.to(f64) }
---
kernel f_0_elementwise(N in 1..=2147483647; in x2: f32[N], in x1: f64[N], out y4: f64[N]) {
  stage main(t < ((N + 4095) // 4096)) {
    for j in t * 4096..min(N, t * 4096 + 4096) vector 8 tail mask {
      let v2 = x2[j]
      let v3 = f64(v2)
      let v1 = x1[j]
      let v4 = v3 + v1
      y4[j] = v4
    }
  }
}

