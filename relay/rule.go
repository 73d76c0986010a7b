package relay

// Rule is a row of web_socket_event_system_events.rules.
type Rule struct {
	ID      int64
	Name    string
	Enabled bool
	// Relation is the warehouse's "schema.table"; empty for an event rule.
	Relation string
	// Event is an event_label; empty for a relation rule.
	Event string
	// Roles the rule is for; empty means every signed-in role. anon only when named.
	Roles []string
	// Predicate is a SQL boolean expression over the row's columns and claims.
	Predicate string
	// Columns that may be seen; nil means all that the warehouse shows.
	Columns []string
	// PayloadSchema is an event rule's JSON Schema; nil without one.
	PayloadSchema []byte
}
