package artifact

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Listing is what is below a prefix, as its store lists it. Nothing of it has been read.
type Listing struct {
	// Count of objects, and the sum of their sizes in bytes.
	Count, Size int64
	// Newest is when the newest of them was written; zero if there is none, and of https.
	Newest time.Time
	// Fingerprint of names, sizes and ETags, or of times where the store has no ETags. What is written
	// once more with the same content has the same ETag in most stores, and then the same fingerprint.
	Fingerprint string
}

// List looks at what is below a prefix, or at one object, with one listing. Nothing there is no error: it
// has a fingerprint too.
func (i *Inspector) List(ctx context.Context, uri string, c Credentials) (Listing, error) {
	at, err := parse(uri)
	if err != nil {
		return Listing{}, err
	}
	if !schemes[at.scheme].listed {
		return Listing{}, &Error{Kind: Invalid, URI: at.uri, Message: at.scheme + ":// is not listed: use s3://, gs://, azblob://, or https:// for one file"}
	}
	found, err := i.listed(ctx, at, c)
	return found, i.finish(ctx, err, at, c)
}

func (i *Inspector) listed(ctx context.Context, at location, c Credentials) (found Listing, err error) {
	defer tame(&err)
	s, err := i.open(ctx, at, c)
	if err != nil {
		return Listing{}, err
	}
	defer s.close()
	l, err := s.list(ctx, i.limits.Files)
	if err != nil {
		return Listing{}, err
	}
	if err := l.check(); err != nil {
		return Listing{}, err
	}
	return Listing{Count: int64(len(l.files)), Size: l.size(), Newest: l.newest(), Fingerprint: l.content()}, nil
}

func (l listing) newest() (newest time.Time) {
	for _, f := range l.files {
		if f.modified.After(newest) {
			newest = f.modified
		}
	}
	return newest
}

// content is a fingerprint that stays the same, also at another place, as long as the content does.
func (l listing) content() string {
	h := sha256.New()
	for _, f := range l.files {
		fmt.Fprintf(h, "%q %d %q\n", f.name, f.size, cmp.Or(f.tag, f.modified.UTC().Format(time.RFC3339Nano)))
	}
	return hex.EncodeToString(h.Sum(nil))
}
