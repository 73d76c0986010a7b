package wal

import (
	"encoding/binary"
	"net"
	"testing"

	"pgrelay/relay"
)

// eightColumns is an insert as applications make them: about 180 bytes of text in eight columns.
var eightColumns = join([]byte{'I'}, u32(nil, 4711), []byte{'N'}, tuple("300000", "4242", "open", "123.45", "eu-west-1",
	`order note with some text, a "quote" and more text 0123456789abcdef0123456789abcdef`, "1795490000000000",
	"2026-11-24 03:13:31.123456+00"))

// BenchmarkParse is an insert to its values.
func BenchmarkParse(b *testing.B) {
	var m Message
	var values []relay.Value
	b.SetBytes(int64(len(eightColumns)))
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Parse(eightColumns); err != nil {
			b.Fatal(err)
		}
		var err error
		if values, _, err = m.New.Values(values[:0]); err != nil || len(values) != 8 {
			b.Fatal(len(values), err)
		}
	}
}

// BenchmarkStream cuts messages from a socket whose other end writes many of them at a time.
func BenchmarkStream(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	message := copyData(eightColumns)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var many []byte
		for range 300 {
			many = append(many, message...)
		}
		for {
			if _, err := conn.Write(many); err != nil {
				return
			}
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	s := &Stream{conn: conn, reader: newReader(conn)}
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		data, err := s.Next()
		if err != nil || len(data.Payload) != len(eightColumns) {
			b.Fatal(len(data.Payload), err)
		}
	}
}

// copyData is a backend message with a pgoutput message in it.
// https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-XLOGDATA
func copyData(payload []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{'d'}, uint32(4+25+len(payload)))
	b = append(b, 'w')
	b = append(b, make([]byte, 24)...)
	return append(b, payload...)
}
