package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	gobwas "github.com/gobwas/ws"
	"github.com/rs/zerolog"

	"pgrelay/relay"
	"pgrelay/relay/capture"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
	"pgrelay/relay/wire"
)

// publication is the relay's, which pg_recvlogical reads too.
const publication = "pgrelay"

// served is a whole relay and a client over loopback that counts the rows it gets.
type served struct {
	cancel context.CancelFunc
	ended  chan error
	conn   net.Conn
	in     *bufio.Reader
	failed chan error
	tally
}

// startServed returns when the client is live.
func startServed(ctx context.Context, dsn string, logger zerolog.Logger) (_ *served, err error) {
	server, err := serve.New(serve.Config{Listen: "127.0.0.1:0", Warehouse: warehouse.Config{DSN: dsn},
		Capture: capture.Config{Publication: publication}, DrainTimeout: 100 * time.Millisecond, Logger: logger})
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	s := &served{cancel: cancel, ended: make(chan error, 1), failed: make(chan error, 1), tally: newTally()}
	go func() { s.ended <- server.Run(run) }()
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := server.Ready(ctx); err != nil {
		return nil, err
	}
	if err := s.connect(ctx, server.Addr().String()); err != nil {
		return nil, err
	}
	live := make(chan struct{})
	go func() { s.failed <- s.read(live) }()
	select {
	case <-live:
		return s, nil
	case err := <-s.failed:
		return nil, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *served) connect(ctx context.Context, addr string) error {
	conn, buffered, _, err := gobwas.Dialer{Protocols: []string{wire.Subprotocol}}.Dial(ctx, "ws://"+addr+wire.Path)
	if err != nil {
		return fmt.Errorf("connect to the relay: %w", err)
	}
	s.conn, s.in = conn, bufio.NewReaderSize(conn, 256<<10)
	if buffered != nil {
		return errors.New("the relay spoke before the client did")
	}
	for _, message := range []string{`{"type":"hello"}`, `{"type":"subscribe","id":1,"table":"` + table + `","snapshot":false}`} {
		if err := gobwas.WriteFrame(conn, gobwas.MaskFrameInPlace(gobwas.NewTextFrame([]byte(message)))); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
	}
	return nil
}

var (
	changes = []byte(`{"type":"changes"`)
	insert  = []byte(`{"op":"insert"`)
)

// read counts rows until the connection ends; live is closed when changes come.
func (s *served) read(live chan struct{}) error {
	for {
		payload, err := s.frame()
		switch {
		case err != nil:
			return fmt.Errorf("read from the relay: %w", err)
		case bytes.HasPrefix(payload, changes):
			s.add(bytes.Count(payload, insert))
			continue
		}
		var m wire.Notice
		if err := json.Unmarshal(payload, &m); err != nil {
			return fmt.Errorf("read from the relay: %w", err)
		}
		switch m.Type {
		case wire.TypeLive:
			close(live)
		case wire.TypeResync, wire.TypeWaiting, wire.TypeClosed, wire.TypeError:
			return fmt.Errorf("the relay says %s: %s%s %s", m.Type, m.Code, m.Reason, m.Message)
		}
	}
}

// frame returns the payload of the next text frame, valid until the next call. The relay never splits a message.
func (s *served) frame() ([]byte, error) {
	for {
		head, err := s.in.Peek(2)
		if err != nil {
			return nil, err
		}
		op, length := gobwas.OpCode(head[0]&0x0f), 2
		size := int(head[1])
		if size >= 126 {
			length = 2 + 2<<(2*(size-126)) // 2 or 8 bytes more
			if head, err = s.in.Peek(length); err != nil {
				return nil, err
			}
			size = 0
			for _, b := range head[2:] {
				size = size<<8 | int(b)
			}
		}
		frame, err := s.in.Peek(length + size)
		if err != nil {
			return nil, err
		}
		_, _ = s.in.Discard(length + size) // the bytes stay until the next read
		switch op {
		case gobwas.OpText:
			return frame[length:], nil
		case gobwas.OpClose:
			return nil, fmt.Errorf("closed: %q", frame[length:])
		case gobwas.OpPing:
			pong := gobwas.NewPongFrame(bytes.Clone(frame[length:]))
			if err := gobwas.WriteFrame(s.conn, gobwas.MaskFrameInPlace(pong)); err != nil {
				return nil, err
			}
		}
	}
}

// await returns when the rows that were announced have come.
func (s *served) await(ctx context.Context, _ relay.LSN) error {
	select {
	case <-s.reached:
		return nil
	case err := <-s.failed:
		return err
	case err := <-s.ended:
		return errors.Join(errors.New("the relay ended"), err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *served) close() error {
	if s.conn != nil {
		_ = s.conn.Close()
	}
	s.cancel()
	return <-s.ended
}
