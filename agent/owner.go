package agent

// Owner names the Overlay that owns an object; the zero Owner is nobody.
type Owner struct {
	Namespace string
	Name      string
}

// String gives namespace/name.
func (o Owner) String() string { return o.Namespace + "/" + o.Name }
