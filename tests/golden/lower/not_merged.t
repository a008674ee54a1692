# They are not where one of them is broadcast alone, or turned, or where their numbers are asked for.
entry f(x: f32[B, 4, 5], s: f32[5], y: f32[B, 5, 4]) -> (f32[B], f32[B], f32[B, 4, 5]) {
  (sum(x * s, [1, 2]), sum(flip(x, 2), [1, 2]), x + y.mT)
}
---
kernel f_0_reduce(B in 1..=2147483647; in x2: f32[5], in x1: f32[B, 4, 5], out y6: f32[B]) {
  stage main(i0 < B) {
    reg acc: f32x16 = 0.0
    for i1 in 0..4 {
      for j in 0..5 vector 16 tail mask {
        let v2 = x2[j]
        let v1 = x1[i0, i1, j]
        let v5 = v2 * v1
        acc = acc + v5
      }
    }
    let sum = hadd(acc)
    y6[i0] = sum
  }
}

kernel f_1_reduce(B in 1..=2147483647; in x1: f32[B, 4, 5], out y8: f32[B]) {
  stage main(i0 < B) {
    reg acc: f32x16 = 0.0
    for i1 in 0..4 {
      for j in 0..5 vector 16 tail mask {
        let v1 = x1[i0, i1, 4 - j]
        acc = acc + v1
      }
    }
    let sum = hadd(acc)
    y8[i0] = sum
  }
}

kernel f_2_elementwise(B in 1..=2147483647; in x3: f32[B, 5, 4], in x1: f32[B, 4, 5], out y10: f32[B, 4, 5]) {
  stage main(i0 < B, i1 < 4) {
    for j in 0..5 vector 16 tail mask {
      let v3 = x3[i0, j, i1]
      let v1 = x1[i0, i1, j]
      let v10 = v3 + v1
      y10[i0, i1, j] = v10
    }
  }
}

