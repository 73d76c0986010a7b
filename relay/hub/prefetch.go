//go:build amd64 || arm64

package hub

// fetch has the processor bring the shape's two lines into its cache while it goes on with something else.
//
//go:noescape
func fetch(s *Shape)
