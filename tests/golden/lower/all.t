# A sum over all axes: lanes fold at the end.
entry f(x: f32[A, B]) -> f32[] { sum(x) }
---
kernel f_0_reduce(A in 1..=2147483647, B in 1..=2147483647; in x1: f32[A, B], out y2: f32[]) {
  stage main(t < 1) {
    reg acc: f32x16 = 0.0
    for i0 in 0..A {
      for j in 0..B vector 16 tail mask {
        let v1 = x1[i0, j]
        acc = acc + v1
      }
    }
    let sum = hadd(acc)
    y2[] = sum
  }
}

