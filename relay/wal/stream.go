package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"pgrelay/relay"
)

const (
	// statusEvery is how often the server hears what was received, beside its own requests.
	statusEvery = time.Second
	// replyEvery is how often it is asked for a sign of life, and silence how long it may be silent: as long as
	// wal_sender_timeout's default, since it may be busy sorting a large transaction.
	replyEvery = 10 * time.Second
	silence    = time.Minute
	// startTimeout bounds the answer to START_REPLICATION.
	startTimeout = 30 * time.Second
)

// Stream is the CopyBoth stream of one START_REPLICATION. Next is for one goroutine; Received and Close for any.
type Stream struct {
	conn     net.Conn
	reader   *reader
	received atomic.Uint64
	writing  sync.Mutex
	closed   chan struct{}
	once     sync.Once
}

// Start connects to the database of cfg and streams the slot from start on through the publications.
// It speaks protocol version 1 of pgoutput: the server spools large transactions, so each arrives whole.
func Start(ctx context.Context, cfg *pgx.ConnConfig, slot string, start relay.LSN, publications []string) (*Stream, error) {
	c := cfg.Config.Copy()
	c.RuntimeParams["replication"] = "database"
	for _, s := range relay.TextSettings {
		c.RuntimeParams[s[0]] = s[1]
	}
	for name, value := range sessionSettings {
		c.RuntimeParams[name] = value
	}
	pc, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connect for replication: %w", err)
	}
	// On a slow machine pgconn may have a goroutine that reads ahead; it would take the first bytes of the stream.
	if err := pc.SyncConn(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("make the replication connection quiet: %w", err), pc.Close(context.WithoutCancel(ctx)))
	}
	hijacked, err := pc.Hijack()
	if err != nil {
		return nil, fmt.Errorf("take over the replication connection: %w", err)
	}
	s := &Stream{conn: hijacked.Conn, reader: newReader(hijacked.Conn), closed: make(chan struct{})}
	s.received.Store(uint64(start))
	if err := s.begin(ctx, slot, start, publications); err != nil {
		_ = s.conn.Close()
		return nil, fmt.Errorf("start replication of slot %s: %w", slot, err)
	}
	go s.report()
	return s, nil
}

// sessionSettings are the others of a replication session.
var sessionSettings = map[string]string{
	"statement_timeout":                   "0",
	"lock_timeout":                        "0",
	"idle_in_transaction_session_timeout": "0",
	"application_name":                    "pgrelay",
	"client_encoding":                     "UTF8",
}

func (s *Stream) begin(ctx context.Context, slot string, start relay.LSN, publications []string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	defer stop()
	query := fmt.Sprintf("START_REPLICATION SLOT %s LOGICAL %s (proto_version '1', publication_names %s)",
		relay.Ident(slot), start, quoteLiteral(PublicationNames(publications)))
	message, err := (&pgproto3.Query{String: query}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := s.conn.Write(message); err != nil {
		return err
	}
	for {
		kind, body, err := s.reader.message()
		switch {
		case err != nil:
			return err
		case kind == 'W':
			return nil
		case kind == 'E':
			return serverError(body)
		}
	}
}

// Data is one message of the stream. Payload is a pgoutput message, valid until the next call of Next, or nil
// for a keepalive, in which case End is how far the server has sent everything.
type Data struct {
	Payload []byte
	End     relay.LSN
	// Reply tells that the server waits for a status.
	Reply bool
}

// Next returns the next message.
func (s *Stream) Next() (Data, error) {
	for {
		kind, b, err := s.reader.message()
		if err != nil {
			return Data{}, err
		}
		switch kind {
		case 'd':
			switch {
			case len(b) >= 25 && b[0] == 'w':
				return Data{Payload: b[25:]}, nil
			case len(b) >= 18 && b[0] == 'k':
				return Data{End: relay.LSN(binary.BigEndian.Uint64(b[1:])), Reply: b[17] != 0}, nil
			}
		case 'E':
			return Data{}, serverError(b)
		case 'c':
			return Data{}, io.EOF
		}
	}
}

// Buffered tells that a whole message waits in the buffer, so that Next will not block.
func (s *Stream) Buffered() bool { return s.reader.buffered() }

// Received sets what the next status reports as written and flushed: everything before lsn was received.
func (s *Stream) Received(lsn relay.LSN) { s.received.Store(uint64(lsn)) }

// Report sends a status now.
func (s *Stream) Report() error { return s.send(false) }

// send sends a status; reply asks the server to answer.
func (s *Stream) send(reply bool) error {
	var m [39]byte
	if reply {
		m[38] = 1
	}
	lsn := s.received.Load()
	m[0], m[5] = 'd', 'r'
	binary.BigEndian.PutUint32(m[1:], 38)
	binary.BigEndian.PutUint64(m[6:], lsn)
	binary.BigEndian.PutUint64(m[14:], lsn)
	binary.BigEndian.PutUint64(m[22:], lsn)
	binary.BigEndian.PutUint64(m[30:], uint64(time.Now().UnixMicro()-postgresEpoch))
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.conn.Write(m[:])
	return err
}

func (s *Stream) report() {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	asked := time.Now()
	for {
		select {
		case <-s.closed:
			return
		case now := <-tick.C:
			reply := now.Sub(asked) > replyEvery
			if reply {
				asked = now
			}
			if now.Sub(time.Unix(0, s.reader.heard.Load())) > silence || s.send(reply) != nil {
				_ = s.conn.Close()
				return
			}
		}
	}
}

// Close ends the stream: a Next that blocks returns an error.
func (s *Stream) Close() error {
	err := net.ErrClosed
	s.once.Do(func() {
		close(s.closed)
		err = s.conn.Close()
	})
	return err
}

// serverError turns an ErrorResponse's body into the error that pgx would return.
func serverError(body []byte) error {
	var r pgproto3.ErrorResponse
	if err := r.Decode(body); err != nil {
		return errors.New("the server sent an error that cannot be read")
	}
	return pgconn.ErrorResponseToPgError(&r)
}
