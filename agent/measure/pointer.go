package measure

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
)

// find takes a number out of JSON by a JSON pointer (RFC 6901): a number, text that is one, or
// true and false, which are 1 and 0. It reads the text once, and keeps nothing of it.
func find(body []byte, pointer string) (string, error) {
	if !strings.HasPrefix(pointer, "/") {
		return "", sayf("value %q is no JSON pointer: write one such as /predictions/0", printable(pointer))
	}
	if !json.Valid(body) {
		return "", sayf("its answer is no JSON, but %s: leave the value out to look at the status alone", answer{body: body}.looks())
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	found, err := descend(decoder, strings.Split(pointer[1:], "/"))
	if errors.Is(err, errNotThere) {
		return "", sayf("its answer has no %s: correct the value, or what answers", printable(pointer))
	}
	if err != nil {
		return "", err
	}
	return take(found, pointer)
}

var errNotThere = errors.New("not there")

// unescape is what a part of a pointer stands for.
var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// descend goes to where the parts of a pointer lead and returns the token that is there.
func descend(decoder *json.Decoder, parts []string) (json.Token, error) {
	for {
		token, err := decoder.Token()
		if err != nil || len(parts) == 0 {
			return token, err
		}
		part := unescape.Replace(parts[0])
		parts = parts[1:]
		switch token {
		case json.Delim('{'):
			err = toKey(decoder, part)
		case json.Delim('['):
			err = toIndex(decoder, part)
		default:
			err = errNotThere
		}
		if err != nil {
			return nil, err
		}
	}
}

// toKey goes to the value of a key.
func toKey(decoder *json.Decoder, key string) error {
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil || token == key {
			return err
		}
		if err := skip(decoder); err != nil {
			return err
		}
	}
	return errNotThere
}

// toIndex goes to an element of a list.
func toIndex(decoder *json.Decoder, part string) error {
	index, err := strconv.Atoi(part)
	if err != nil || index < 0 || strconv.Itoa(index) != part {
		return errNotThere
	}
	for ; index > 0 && decoder.More(); index-- {
		if err := skip(decoder); err != nil {
			return err
		}
	}
	if !decoder.More() {
		return errNotThere
	}
	return nil
}

// skip goes over a value.
func skip(decoder *json.Decoder) error {
	for depth := 0; ; {
		token, err := decoder.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return errNotThere
			}
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// take makes a decimal of what was found.
func take(found json.Token, pointer string) (string, error) {
	text := ""
	switch value := found.(type) {
	case bool:
		if value {
			return "1", nil
		}
		return "0", nil
	case json.Number:
		text = value.String()
	case string:
		text = value
	case nil:
		return "", sayf("%s is null: a number is needed", printable(pointer))
	default:
		return "", sayf("%s is a list or an object: point to a number in it", printable(pointer))
	}
	value, ok := decimal(text)
	if !ok {
		return "", sayf("%s is %q, which is no number that can be compared", printable(pointer), printable(text))
	}
	return value, nil
}
