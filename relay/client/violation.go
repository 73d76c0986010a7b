package client

import (
	"errors"
	"fmt"
	"net/http"

	"pgrelay/relay/wire"
)

// Violation is something that the protocol forbids a server to send.
type Violation struct {
	// Type and Shape are those of the message; empty where it couldn't be read.
	Type  string
	Shape string
	What  string
}

func (v *Violation) Error() string {
	text := "protocol violation: "
	if v.Type != "" {
		text += v.Type + " "
	}
	if v.Shape != "" {
		text += "of shape " + v.Shape + " "
	}
	return text + v.What
}

func violation(kind, shape, format string, args ...any) error {
	return &Violation{Type: kind, Shape: shape, What: fmt.Sprintf(format, args...)}
}

// Permanent tells that connecting again in the same way would fail in the same way.
func Permanent(err error) bool {
	if errors.As(err, new(*Violation)) {
		return true
	}
	var status *StatusError
	if errors.As(err, &status) {
		return status.Status == http.StatusBadRequest || status.Status == http.StatusUnauthorized ||
			status.Status == http.StatusForbidden || status.Status == http.StatusNotFound
	}
	var closed *CloseError
	if errors.As(err, &closed) {
		switch closed.Code {
		case wire.CloseProtocol, wire.CloseUnsupported, wire.CloseInvalidUTF8, wire.CloseTooLarge,
			wire.CloseBadMessage, wire.CloseUnauthorized:
			return true
		}
	}
	return false
}
