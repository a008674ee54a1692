# Padding selects zero outside, and reads a place that is inside.
entry f(x: f32[N]) -> f32[N + 3] { pad(x, 1, 2, 0) }
---
kernel f_0_elementwise(N in 1..=2147483647; in x1: f32[N], out y2: f32[N + 3]) {
  stage main(t < 1) {
    for j in 0..N + 3 vector 16 tail mask {
      let v1 = x1[max(min(j - 1, N - 1), 0)]
      let v2 = select(j - 1 >= 0 && j - 1 < N, v1, 0.0)
      y2[j] = v2
    }
  }
}

