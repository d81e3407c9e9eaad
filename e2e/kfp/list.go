package kfp

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultPage = 20
	maxPage     = 200
)

// listed is what is listed: by its time, then by its id.
type listed interface {
	key() (created stamp, id string)
}

// fields are what a filter can be over, by their names in the API.
type fields[T any] map[string]func(T) string

type predicate struct {
	Operation    string  `json:"operation"`
	Key          string  `json:"key"`
	StringValue  *string `json:"string_value"`
	StringValues *struct {
		Values []string `json:"values"`
	} `json:"string_values"`
}

// holds compares as MySQL does: without regard to case.
func (p predicate) holds(value string) bool {
	switch p.Operation {
	case "EQUALS":
		return strings.EqualFold(value, *p.StringValue)
	case "NOT_EQUALS":
		return !strings.EqualFold(value, *p.StringValue)
	case "IS_SUBSTRING":
		return strings.Contains(strings.ToLower(value), strings.ToLower(*p.StringValue))
	}
	return slices.ContainsFunc(p.StringValues.Values, func(v string) bool { return strings.EqualFold(v, value) })
}

func (p predicate) check() error {
	switch p.Operation {
	case "EQUALS", "NOT_EQUALS", "IS_SUBSTRING":
		if p.StringValue == nil {
			return fail(invalidArgument, "the filter of %q has no text, which is all that is compared here", p.Key)
		}
	case "IN":
		if p.StringValues == nil {
			return fail(invalidArgument, "the filter of %q has no texts, which are all that is compared here", p.Key)
		}
	default:
		return fail(invalidArgument, "invalid predicate operation: %v", p.Operation)
	}
	return nil
}

// order is how a list was asked for. It is part of a page token.
type order struct {
	Filter     []predicate
	Descending bool
}

// token is where the next page begins.
type token struct {
	Order   string
	Created int64
	ID      string
}

// page is the part of the items that a request asks for, and the token of the next.
func page[T listed](items []T, known fields[T], query url.Values) (result []T, total int, next string, err error) {
	o, err := readOrder(query)
	if err != nil {
		return nil, 0, "", err
	}
	from, err := readToken(query, o)
	if err != nil {
		return nil, 0, "", err
	}
	size, err := pageSize(query.Get("page_size"))
	if err != nil {
		return nil, 0, "", err
	}
	items, err = filter(items, known, o.Filter)
	if err != nil {
		return nil, 0, "", err
	}
	total = len(items)
	slices.SortFunc(items, func(a, b T) int {
		if c := compare(a, b); !o.Descending {
			return c
		} else {
			return -c
		}
	})
	if from != nil {
		begin := slices.IndexFunc(items, func(item T) bool {
			created, id := item.key()
			c := compareKeys(created, id, stamp(from.Created), from.ID)
			return c == 0 || c > 0 != o.Descending
		})
		if begin < 0 {
			return nil, total, "", nil
		}
		items = items[begin:]
	}
	if len(items) <= size {
		return items, total, "", nil
	}
	created, id := items[size].key()
	data, err := json.Marshal(token{o.text(), int64(created), id})
	return items[:size], total, base64.StdEncoding.EncodeToString(data), err
}

func (o order) text() string {
	data, _ := json.Marshal(o) // texts always can be
	return string(data)
}

func compare[T listed](a, b T) int {
	ca, ia := a.key()
	cb, ib := b.key()
	return compareKeys(ca, ia, cb, ib)
}

func compareKeys(ca stamp, ia string, cb stamp, ib string) int {
	if ca != cb {
		return int(ca - cb)
	}
	return strings.Compare(ia, ib)
}

func filter[T any](items []T, known fields[T], predicates []predicate) ([]T, error) {
	for _, p := range predicates {
		if known[p.Key] == nil {
			return nil, fail(invalidArgument, "no support for filtering on unrecognized field %q", p.Key)
		}
	}
	result := []T{}
	for _, item := range items {
		if !slices.ContainsFunc(predicates, func(p predicate) bool { return !p.holds(known[p.Key](item)) }) {
			result = append(result, item)
		}
	}
	return result, nil
}

// readOrder reads the filter, which is escaped once more than the query is.
func readOrder(query url.Values) (o order, err error) {
	text, err := url.QueryUnescape(query.Get("filter"))
	if err != nil {
		return o, fail(invalidArgument, "failed to parse valid filter from %q: %v", query.Get("filter"), err)
	}
	if text != "" {
		var f struct {
			Predicates []predicate `json:"predicates"`
		}
		decoder := json.NewDecoder(strings.NewReader(strings.NewReplacer(`"stringValue"`, `"string_value"`, `"stringValues"`, `"string_values"`).Replace(text)))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&f); err != nil {
			return o, fail(invalidArgument, "failed to parse valid filter from %q: %v", text, err)
		}
		for _, p := range f.Predicates {
			if err := p.check(); err != nil {
				return o, err
			}
		}
		o.Filter = f.Predicates
	}
	by := strings.Fields(strings.ToLower(query.Get("sort_by")))
	switch {
	case len(by) > 2 || len(by) == 2 && by[1] != "asc" && by[1] != "desc":
		return o, fail(invalidArgument, "Received invalid sort by format %q. Supported format: \"field_name\", \"field_name desc\", or \"field_name asc\"", query.Get("sort_by"))
	case len(by) > 0 && by[0] != "created_at":
		return o, fail(invalidArgument, "Invalid sorting field: %q: lists are sorted by created_at here", by[0])
	}
	o.Descending = len(by) == 2 && by[1] == "desc"
	return o, nil
}

func readToken(query url.Values, o order) (*token, error) {
	text := query.Get("page_token")
	if text == "" {
		return nil, nil
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fail(invalidArgument, "Invalid page token")
	}
	t := &token{}
	if err := json.Unmarshal(data, t); err != nil {
		return nil, fail(invalidArgument, "Invalid page token")
	}
	if t.Order != o.text() {
		return nil, fail(invalidArgument, "page token does not match the supplied sort by and/or filtering criteria. Either specify the same criteria or leave the latter empty if page token is specified")
	}
	return t, nil
}

func pageSize(text string) (int, error) {
	if text == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 0:
		return 0, fail(invalidArgument, "The page size should be greater than 0. Got %s", text)
	case n == 0:
		return defaultPage, nil
	}
	return min(n, maxPage), nil
}

// list answers a request for a list.
func list[T listed](r *http.Request, name string, items []T, known fields[T]) (any, error) {
	items, total, next, err := page(items, known, r.URL.Query())
	if err != nil {
		return nil, wrap(err, "Failed to list "+name)
	}
	answer := map[string]any{}
	if len(items) > 0 {
		answer[name], answer["total_size"] = items, total
	}
	if next != "" {
		answer["next_page_token"] = next
	}
	return answer, nil
}
