package gitserver

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
)

// backend is git http-backend.
func backend(program, dir string) http.Handler {
	script := &cgi.Handler{
		Path:   program,
		Args:   []string{"http-backend"},
		Dir:    dir,
		Env:    environment("GIT_PROJECT_ROOT="+dir, "GIT_HTTP_EXPORT_ALL=1"),
		Logger: silent(),
		Stderr: io.Discard,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 {
			if err := measure(r); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			defer r.Body.Close()
		}
		script.ServeHTTP(w, r)
	})
}

// measure reads a body of unknown length into a file, for CGI has to name the length
// beforehand. Git sends packs of more than a megabyte so.
func measure(r *http.Request) error {
	file, err := os.CreateTemp("", "sluice-git-body-")
	if err != nil {
		return err
	}
	if err := os.Remove(file.Name()); err != nil { // it lives on while it is open
		return err
	}
	size, err := io.Copy(file, r.Body)
	if err != nil {
		return fmt.Errorf("reading the body of %s: %w", r.URL.Path, err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r.Body, r.ContentLength, r.TransferEncoding = file, size, nil
	return nil
}
