# Names, operators and literals print in one canonical way.
kernel k(N in 1..=64; in x: f32[N], out y: f32[N]) {
 stage main(t < 1) { for j in 0..N vector 8 tail mask { y[j] = ((x[j]) * 2.0) + (1.0 - x[j]) } }
}
plan p(N in 1..=64; in x: f32[N], out y: f32[N]) { launch k.main(N=N; x = x, y=y) }
entry e { variant -> p }
---
kernel k(N in 1..=64; in x: f32[N], out y: f32[N]) {
  stage main(t < 1) {
    for j in 0..N vector 8 tail mask {
      y[j] = x[j] * 2.0 + (1.0 - x[j])
    }
  }
}

plan p(N in 1..=64; in x: f32[N], out y: f32[N]) {
  launch k.main(N; x, y)
}

entry e {
  variant -> p
}
