# One number: one task on one thread.
entry f(x: f32[], y: f32[]) -> f32[] { x * y + 1 }
---
kernel f_0_elementwise(; in x1: f32[], in x2: f32[], out y5: f32[]) {
  stage main(t < 1) {
    let v1 = x1[]
    let v2 = x2[]
    let v3 = v1 * v2
    let v5 = v3 + 1.0
    y5[] = v5
  }
}

