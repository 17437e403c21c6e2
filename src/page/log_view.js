// The spliced log of a partition as a picture: spans of source and target along the line of virtual offsets.
'use strict';

const logView = (() => {
  const svgNamespace = 'http://www.w3.org/2000/svg';
  const height = 40;
  const barHeight = 22;
  const openShare = 0.2;     // of the width: an open segment has no length of its own
  const leastWidth = 74;     // room for a boundary's label
  const number = new Intl.NumberFormat('en-US');

  function svg(name, attributes, text) {
    const element = document.createElementNS(svgNamespace, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  // In proportion to the lengths, but wide enough to be seen: a short segment after a long one matters most.
  function widths(segments, total) {
    if (segments.length === 1) return [total];
    const open = Math.max(total * openShare, Math.min(leastWidth, total / segments.length));
    const closed = segments.slice(0, -1);
    const least = Math.min(leastWidth, (total - open) / closed.length);
    const spare = total - open - least * closed.length;
    const sum = closed.reduce((all, segment) => all + segment.length, 0);
    return [...closed.map((s) => least + (sum > 0 ? (spare * s.length) / sum : spare / closed.length)), open];
  }

  function description(segment) {
    const end = segment.length === null ? 'open' : number.format(segment.virtual_base + segment.length);
    const realEnd = segment.length === null ? 'open' : number.format(segment.real_base + segment.length);
    return `${segment.cluster}: virtual ${number.format(segment.virtual_base)} to ${end}, ` +
      `real ${number.format(segment.real_base)} to ${realEnd}`;
  }

  function span(segment, x, width) {
    const open = segment.length === null;
    const group = svg('g', {});
    group.append(svg('title', {}, description(segment)));
    if (open) {
      const tip = Math.min(12, width / 2);
      const points = `${x},0 ${x + width - tip},0 ${x + width},${barHeight / 2} ${x + width - tip},${barHeight} ${x},${barHeight}`;
      group.append(svg('polygon', { points, class: `open ${segment.cluster}` }));
    } else {
      group.append(svg('rect', { x, y: 0, width: Math.max(width, 1), height: barHeight, class: segment.cluster }));
    }
    if (width > 58) {
      group.append(svg('text', { x: x + 8, y: 15, class: open ? 'inside on-open' : 'inside' }, segment.cluster));
    }
    return group;
  }

  // An element that shows the segments at the given width in pixels.
  function draw(segments, width) {
    const picture = svg('svg', {
      class: 'log', role: 'img', height, viewBox: `0 0 ${width} ${height}`,
      'aria-label': segments.map(description).join('; '),
    });
    let x = 0;
    let labelEnd = -1;
    widths(segments, width).forEach((spanWidth, i) => {
      const segment = segments[i];
      picture.append(span(segment, x, spanWidth));
      if (i > 0) picture.append(svg('line', { x1: x, x2: x, y1: 0, y2: barHeight + 4 }));
      if (x >= labelEnd) {
        const label = number.format(segment.virtual_base);
        picture.append(svg('text', { x: i === 0 ? 0 : x + 1, y: height - 5, class: 'boundary' }, label));
        labelEnd = x + 8 + label.length * 7;
      }
      x += spanWidth;
    });
    return picture;
  }

  return { draw };
})();
