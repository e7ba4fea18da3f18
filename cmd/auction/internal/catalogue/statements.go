package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// statements prepares each text once. Texts are put together from constants, so there
// are few of them: what clients send is in the parameters only.
type statements struct {
	db *sql.DB

	mu       sync.Mutex
	prepared map[string]*sql.Stmt
}

// of returns the prepared statement of a text. It must not be called within a transaction: the
// database may have one connection only.
func (s *statements) of(ctx context.Context, text string) (*sql.Stmt, error) {
	if p := s.known(text); p != nil {
		return p, nil
	}
	p, err := s.db.PrepareContext(ctx, text) // without the lock: it may wait for a connection
	if err != nil {
		return nil, err
	}
	return s.keep(text, p)
}

func (s *statements) known(text string) *sql.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prepared[text]
}

// keep returns the statement that is kept: of two that were prepared at the same time, the first.
func (s *statements) keep(text string, p *sql.Stmt) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.prepared[text]; first != nil {
		return first, p.Close()
	}
	if s.prepared == nil {
		s.prepared = map[string]*sql.Stmt{}
	}
	s.prepared[text] = p
	return p, nil
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, p := range s.prepared {
		errs = append(errs, p.Close())
	}
	s.prepared = nil
	return errors.Join(errs...)
}
