// Dark or light, before anything is drawn: what the user chose here, or else the system's.
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
