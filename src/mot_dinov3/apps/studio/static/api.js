// Requests to the server: every failure becomes an Error with a remedy.

export class ApiError extends Error {
  constructor(message, remedy, status) {
    super(message);
    this.remedy = remedy;
    this.status = status;
  }
}

async function answer(response) {
  const body = await response.json().catch(() => ({ error: `the server responded with ${response.status}` }));
  if (!response.ok) throw new ApiError(body.error, body.remedy || "", response.status);
  return body;
}

async function reach(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("the studio does not respond", "is it still running in the terminal?", 0);
  }
}

export function address(path, values = {}) {
  return `${path}?${new URLSearchParams(values)}`;
}

export async function get(path, values = {}) {
  return answer(await reach(address(path, values)));
}

export async function post(path, values = {}) {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(values) };
  return answer(await reach(path, options));
}

export async function image(path, values) {
  const response = await reach(address(path, values));
  if (!response.ok) await answer(response);
  const bitmap = await createImageBitmap(await response.blob());
  return { bitmap, time: Number(response.headers.get("x-time")) };
}
