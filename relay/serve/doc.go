// Package serve is the relay as a whole: it discovers the warehouse, follows its sources, keeps the rules in
// force, and serves connections.
//
//	warehouse ─► sources ─► captures ─┐
//	                                  ├─► directory ─► sessions ◄─► sockets
//	system database ─► rules ─────────┘
package serve
