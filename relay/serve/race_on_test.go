//go:build race

package serve_test

// slowness is by how much the race detector slows things down.
const slowness = 5
