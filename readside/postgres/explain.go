package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Errors of Open.
var (
	// ErrUnreachable is wrapped when no server answered; it may be there later.
	ErrUnreachable = errors.New("postgres: not reached")
	// ErrRefused is wrapped when the server does not let us do what we must: the password, the user, the
	// database, or a right is missing.
	ErrRefused = errors.New("postgres: refused by the server")
	// ErrNewer is wrapped when a newer release has changed the tables.
	ErrNewer = errors.New("postgres: written by a newer release")
)

// remedies are what to do about errors by their SQLSTATE.
var remedies = map[string]string{
	"28P01": "the password is wrong: give it in PGPASSWORD, in a passfile, or in the address",
	"28000": "pg_hba.conf on the server does not let this user in from here, the user is missing, or TLS is asked for (sslmode)",
	"3D000": "make the database: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
	"3F000": "make the schema, or correct search_path: CREATE SCHEMA … AUTHORIZATION …",
	"42501": "a right is missing: let the user own the schema (CREATE SCHEMA … AUTHORIZATION …), or GRANT CREATE, USAGE ON SCHEMA … and give it the tables",
	"53300": "too many connections: raise max_connections, or lower Config.Connections and Readers",
}

// explain names the database and what to do, and no password.
func explain(of *pgx.ConnConfig, err error) error {
	var said *pgconn.PgError
	var lost *pgconn.ConnectError
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	if of.Password != "" {
		text = strings.ReplaceAll(text, of.Password, "…")
	}
	switch {
	case errors.Is(err, ErrNewer):
		return fmt.Errorf("%w: %s: %s", ErrNewer, place(of), strings.TrimPrefix(text, ErrNewer.Error()+": "))
	case errors.As(err, &said) && remedies[said.Code] != "":
		return fmt.Errorf("%w: %s: %s (%s): %s", ErrRefused, place(of), said.Message, said.Code, remedies[said.Code])
	case errors.As(err, &lost) && said == nil, errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s: %s: is it running, and does it listen there?", ErrUnreachable, place(of), text)
	}
	return fmt.Errorf("postgres: %s: %s", place(of), text)
}
