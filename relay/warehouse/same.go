package warehouse

import (
	"reflect"
)

// Same tells whether two discoveries found the source alike: the same database by the same role and password, the same
// tables. A relay that is told of the same source again has nothing to do.
func (s *Source) Same(other *Source) bool {
	return s.Name == other.Name && s.Local == other.Local && (s.Err == nil) == (other.Err == nil) && s.sameConn(other) &&
		s.publication == other.publication && reflect.DeepEqual(s.insertOnly, other.insertOnly) &&
		reflect.DeepEqual(s.Servers, other.Servers) && reflect.DeepEqual(s.Foreign, other.Foreign) && reflect.DeepEqual(s.Tables, other.Tables)
}

func (s *Source) sameConn(other *Source) bool {
	if s.Conn == nil || other.Conn == nil {
		return s.Conn == other.Conn
	}
	a, b := s.Conn, other.Conn
	return a.Host == b.Host && a.Port == b.Port && a.Database == b.Database && a.User == b.User && a.Password == b.Password &&
		(a.TLSConfig == nil) == (b.TLSConfig == nil) && len(a.Fallbacks) == len(b.Fallbacks)
}
