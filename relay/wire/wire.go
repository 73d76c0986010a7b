// Package wire is the protocol pgrelay.v1: the names and shapes of its messages.
// The TypeScript types in react/src/wire.ts say the same thing; testdata/wire holds examples that both read.
package wire

import "encoding/json"

// Subprotocol is the WebSocket subprotocol's name.
const Subprotocol = "pgrelay.v1"

// Path is where the WebSocket is.
const Path = "/v1/ws"

// The types of messages that a client sends.
const (
	TypeHello       = "hello"
	TypeToken       = "token"
	TypeSubscribe   = "subscribe"
	TypeUnsubscribe = "unsubscribe"
	TypeEmit        = "emit"
	TypeFollow      = "follow"
	TypePing        = "ping"
)

// The types of messages that the server sends.
const (
	TypeWelcome    = "welcome"
	TypeSubscribed = "subscribed"
	TypeSnapshot   = "snapshot"
	TypeChanges    = "changes"
	TypeLive       = "live"
	TypeCursor     = "cursor"
	TypeSchema     = "schema"
	TypeResync     = "resync"
	TypeWaiting    = "waiting"
	TypeClosed     = "closed"
	TypeEvent      = "event"
	TypeError      = "error"
	TypePong       = "pong"
)

// Codes of error and closed messages.
const (
	CodeBadMessage   = "bad_message"
	CodeBadToken     = "bad_token"
	CodeBadWhere     = "bad_where"
	CodeBadParams    = "bad_params"
	CodeBadColumns   = "bad_columns"
	CodeDuplicateID  = "duplicate_id"
	CodeNotFound     = "not_found"
	CodeLimit        = "limit"
	CodeRateLimited  = "rate_limited"
	CodeUnavailable  = "unavailable"
	CodeInternal     = "internal"
	CodeUnsubscribed = "unsubscribed"
)

// Reasons of resync.
const (
	ReasonLagged        = "lagged"
	ReasonRuleChanged   = "rule_changed"
	ReasonSchemaChanged = "schema_changed"
	ReasonTableChanged  = "table_changed"
	ReasonJournalGap    = "journal_gap"
)

// Reasons of waiting.
const (
	WaitUnavailable = "unavailable"
	WaitNotFound    = "not_found"
)

// Values of hello.lagged.
const (
	LaggedResync = "resync"
	LaggedClose  = "close"
)

// Close codes: RFC 6455, section 7.4.1, and the protocol's own.
const (
	CloseNormal        = 1000
	CloseGoingAway     = 1001
	CloseProtocol      = 1002
	CloseUnsupported   = 1003
	CloseInvalidUTF8   = 1007
	CloseTooLarge      = 1009
	CloseBadMessage    = 4400
	CloseUnauthorized  = 4401
	CloseNoSign        = 4408
	CloseTooSlow       = 4409
	CloseLimitExceeded = 4429
)

// ClientMessage holds the fields of every message that a client sends.
type ClientMessage struct {
	Type string `json:"type"`
	// ID is an integer for subscribe and unsubscribe, a UUID string for emit and follow.
	ID       json.RawMessage   `json:"id,omitempty"`
	Token    string            `json:"token,omitempty"`
	Lagged   string            `json:"lagged,omitempty"`
	Table    string            `json:"table,omitempty"`
	Where    string            `json:"where,omitempty"`
	Params   []json.RawMessage `json:"params,omitempty"`
	Columns  []string          `json:"columns,omitempty"`
	Snapshot *bool             `json:"snapshot,omitempty"`
	Since    string            `json:"since,omitempty"`
	N        json.RawMessage   `json:"n,omitempty"`
}

// Limits are what welcome tells of the server's limits.
type Limits struct {
	MessageBytes      int `json:"message_bytes"`
	MessagesPerSecond int `json:"messages_per_second"`
	Subscriptions     int `json:"subscriptions"`
	PredicateBytes    int `json:"predicate_bytes"`
	PredicateDepth    int `json:"predicate_depth"`
	Params            int `json:"params"`
	Snapshots         int `json:"snapshots"`
}

// Welcome answers hello and token.
type Welcome struct {
	Type        string `json:"type"`
	Session     string `json:"session"`
	Version     string `json:"version"`
	Sub         string `json:"sub,omitempty"`
	Role        string `json:"role"`
	Expires     string `json:"expires,omitempty"`
	Limits      Limits `json:"limits"`
	HeartbeatMS int    `json:"heartbeat_ms"`
}

// Column is a column as subscribed and schema name it.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Subscribed answers subscribe.
type Subscribed struct {
	Type    string   `json:"type"`
	ID      uint64   `json:"id"`
	Shape   string   `json:"shape"`
	Table   string   `json:"table"`
	Server  string   `json:"server"`
	Capture string   `json:"capture"`
	Key     []string `json:"key"`
	Bag     bool     `json:"bag,omitempty"`
	Columns []Column `json:"columns"`
	Resumed bool     `json:"resumed"`
	Shared  bool     `json:"shared,omitempty"`
}

// Change is one change in a changes message.
type Change struct {
	Op  string                     `json:"op"`
	Row map[string]json.RawMessage `json:"row,omitempty"`
	Key map[string]json.RawMessage `json:"key,omitempty"`
}

// The values of Change.Op.
const (
	OpInsert   = "insert"
	OpUpdate   = "update"
	OpDelete   = "delete"
	OpTruncate = "truncate"
)

// ServerMessage holds the fields of every message that the server sends; clients written in Go decode into it.
type ServerMessage struct {
	Type        string                       `json:"type"`
	ID          json.RawMessage              `json:"id,omitempty"`
	Shape       string                       `json:"shape,omitempty"`
	Table       string                       `json:"table,omitempty"`
	Server      string                       `json:"server,omitempty"`
	Capture     string                       `json:"capture,omitempty"`
	Key         []string                     `json:"key,omitempty"`
	Bag         bool                         `json:"bag,omitempty"`
	Columns     []Column                     `json:"columns,omitempty"`
	Resumed     bool                         `json:"resumed,omitempty"`
	Shared      bool                         `json:"shared,omitempty"`
	Rows        []map[string]json.RawMessage `json:"rows,omitempty"`
	At          string                       `json:"at,omitempty"`
	Tx          string                       `json:"tx,omitempty"`
	Part        *int                         `json:"part,omitempty"`
	More        bool                         `json:"more,omitempty"`
	Changes     []Change                     `json:"changes,omitempty"`
	Cursor      string                       `json:"cursor,omitempty"`
	Fill        map[string]json.RawMessage   `json:"fill,omitempty"`
	Reason      string                       `json:"reason,omitempty"`
	Message     string                       `json:"message,omitempty"`
	Code        string                       `json:"code,omitempty"`
	Hint        string                       `json:"hint,omitempty"`
	Session     string                       `json:"session,omitempty"`
	Version     string                       `json:"version,omitempty"`
	Sub         string                       `json:"sub,omitempty"`
	Role        string                       `json:"role,omitempty"`
	Expires     string                       `json:"expires,omitempty"`
	Limits      *Limits                      `json:"limits,omitempty"`
	HeartbeatMS int                          `json:"heartbeat_ms,omitempty"`
	N           json.RawMessage              `json:"n,omitempty"`
}

// Notice is a server message without rows: resync, waiting, closed, error.
type Notice struct {
	Type    string          `json:"type"`
	ID      json.RawMessage `json:"id,omitempty"`
	Shape   string          `json:"shape,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Code    string          `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`
	Hint    string          `json:"hint,omitempty"`
}
