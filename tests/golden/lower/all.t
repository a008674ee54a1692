# A sum over all axes: lanes fold at the end.
entry f(x: f32[A, B]) -> f32[] { sum(x) }
---
kernel f_0_reduce(A in 1..=2147483647, B in 1..=2147483647; inout parts: f32[32], in x1: f32[A * B], out y2: f32[]) {
  stage partial(p < ((A * B + 16 * ((max(((A * B + 31) // 32), 32768) + 15) // 16) - 1) // (16 * ((max(((A * B + 31) // 32), 32768) + 15) // 16)))) {
    reg acc[4]: f32x16 = 0.0
    let rows = 16 * ((max((A * B + 31) // 32, 32768) + 15) // 16)
    let lo = p * rows
    let hi = min(A * B, lo + rows)
    let blocks = (hi - lo) // 64
    for block in 0..blocks {
      for s in 0..4 unroll {
        let v1 = x1[lo + block * 64 + s * 16 + lane(16)]
        acc[s] = acc[s] + v1
      }
    }
    for j in lo + blocks * 64..hi vector 16 tail mask {
      let v1 = x1[j]
      acc[0] = acc[0] + v1
    }
    parts[p] = hadd(acc[0] + acc[1] + (acc[2] + acc[3]))
  }
  stage combine(t < 1) {
    reg acc: f32 = 0.0
    for p in 0..(A * B + 16 * ((max((A * B + 31) // 32, 32768) + 15) // 16) - 1) // (16 * ((max((A * B + 31) // 32, 32768) + 15) // 16)) {
      acc = acc + parts[p]
    }
    let sum = acc
    y2[] = sum
  }
}

