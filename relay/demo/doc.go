// Package demo is the sample that pgrelay shows itself with: two private Postgres servers, so that foreign tables cross
// servers as they do in life, and live traffic on them.
//
//	first server                                     second server
//	  warehouse ── foreign tables ─────────────────►   profiles   users
//	      │                                            orders     products, orders, order_lines, payments
//	      └─ foreign tables ─► web_socket_event_system
//
// All that the relay needs is the warehouse's connection string: the credentials of the others stand in user mappings.
// No role that it meets is a superuser: each owns its own database.
package demo
