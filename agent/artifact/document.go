package artifact

import (
	"context"
	"io"
)

// Read returns one object, such as a document that a run has written. It is refused if it is longer than
// the limit, in bytes, whatever the store says of its length.
func (i *Inspector) Read(ctx context.Context, uri string, c Credentials, limit int64) ([]byte, error) {
	at, err := parse(uri)
	switch {
	case err != nil:
		return nil, err
	case !schemes[at.scheme].listed:
		return nil, &Error{Kind: Invalid, URI: at.uri, Message: at.scheme + ":// is not read as one file: use s3://, gs://, azblob:// or https://"}
	case at.dir:
		return nil, &Error{Kind: Invalid, URI: at.uri, Message: "the URI ends in a slash, which stands for everything below it: name one object"}
	}
	content, err := i.content(ctx, at, c, limit)
	return content, i.finish(ctx, err, at, c)
}

func (i *Inspector) content(ctx context.Context, at location, c Credentials, limit int64) (content []byte, err error) {
	defer tame(&err)
	s, err := i.open(ctx, at, c)
	if err != nil {
		return nil, err
	}
	defer s.close()
	l, err := s.list(ctx, i.limits.Files)
	switch {
	case err != nil:
		return nil, err
	case len(l.files) == 0:
		return nil, notFound(at)
	case !l.single:
		return nil, errorf(Invalid, "there is no object of this name, but there are some below it: name one of them")
	case l.files[0].size > limit:
		return nil, errorf(TooLarge, "it has %d bytes, and at most %d are read: keep it short", l.files[0].size, limit)
	}
	r, err := s.open(ctx, l.files[0], 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	switch content, err = io.ReadAll(io.LimitReader(r, limit+1)); {
	case err != nil:
		return nil, err
	case int64(len(content)) > limit:
		return nil, errorf(TooLarge, "it has more than %d bytes, which are the most that are read: keep it short", limit)
	case int64(len(content)) != l.files[0].size:
		return nil, errChanged
	}
	return content, nil
}
