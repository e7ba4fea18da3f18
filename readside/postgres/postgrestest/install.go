package postgrestest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// errMissing is wrapped when this machine cannot run a PostgreSQL.
var errMissing = errors.New("postgrestest: no PostgreSQL (on Debian, as root, .ci/postgres installs it)")

// install is a PostgreSQL that can be run.
type install struct {
	bin string // folder of initdb and postgres
	as  *syscall.Credential
}

// find looks where Debian puts it, the newest first, and then on the PATH.
func find() (install, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err == nil && len(found) > 0 {
		newest := found[0]
		for _, f := range found[1:] {
			if major(f) > major(newest) {
				newest = f
			}
		}
		return asUser(filepath.Dir(newest))
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return install{}, fmt.Errorf("%w: %w", errMissing, err)
	}
	return asUser(filepath.Dir(path))
}

// major is the release in Debian's path; 0 if there is none.
func major(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// asUser says as whom the server runs: PostgreSQL refuses root.
func asUser(bin string) (install, error) {
	if os.Geteuid() != 0 {
		return install{bin: bin}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return install{}, fmt.Errorf("%w: as root there must be a user postgres: %w", errMissing, err)
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return install{}, fmt.Errorf("%w: %w", errMissing, err)
	}
	return install{bin, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// own gives a folder to whoever runs the server.
func (i install) own(dir string) error {
	if i.as == nil {
		return nil
	}
	return os.Chown(dir, int(i.as.Uid), int(i.as.Gid))
}
