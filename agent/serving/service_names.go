package serving

// ServiceOf is the name of the Service, in the stage's namespace, that leads to one version alone,
// as metrics name it. In Knative mode all versions have the same one, and revisions of their own.
// It is empty where nothing can serve as wanted.
func ServiceOf(w Want, version string, can Abilities) string {
	l, err := layoutOf(w.Serving, can)
	if err != nil || version == "" {
		return ""
	}
	return l.serviceName(w, version)
}

func (k knative) serviceName(w Want, _ string) string { return w.Model + "-predictor" }

func (c canary) serviceName(w Want, version string) string {
	name, err := variantOf(w.Model, version)
	if err != nil {
		return ""
	}
	return w.Model + "-" + name + "-predictor"
}

func (b beside) serviceName(w Want, version string) string {
	return nameOf(w.Model, version) + "-predictor"
}

func (d deployment) serviceName(w Want, version string) string { return nameOf(w.Model, version) }
