# Axes of size 1 are no vector axes.
entry f(x: f32[B, 1], y: f32[1, 1]) -> f32[B, 1] { x * y }
---
kernel f_0_elementwise(B in 1..=2147483647; in x2: f32[1, 1], in x1: f32[B, 1], out y5: f32[B, 1]) {
  stage main(i0 < B) {
    let v2 = x2[0, 0]
    let v1 = x1[i0, 0]
    let v5 = v2 * v1
    y5[i0, 0] = v5
  }
}

