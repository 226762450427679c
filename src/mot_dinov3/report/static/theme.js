// The theme: that of the system until the button chooses another; the choice is remembered.
const THEME = "mot-dinov3-theme";

function rememberedTheme() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null; // the browser stores nothing for files
  }
}

function showTheme(name) {
  document.documentElement.dataset.theme = name;
  document.getElementById("theme").textContent = name === "dark" ? "Light theme" : "Dark theme";
}

function switchTheme() {
  const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  showTheme(name);
  try {
    localStorage.setItem(THEME, name);
  } catch {
    // it holds until the page is closed
  }
}

const systemTheme = matchMedia("(prefers-color-scheme: dark)");
showTheme(rememberedTheme() ?? (systemTheme.matches ? "dark" : "light"));
systemTheme.addEventListener("change", () => rememberedTheme() ?? showTheme(systemTheme.matches ? "dark" : "light"));
document.getElementById("theme").addEventListener("click", switchTheme);
