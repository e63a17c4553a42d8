// The language of what a page has in two: as it was made, until the button changes it, then as it was chosen last.
const root = document.documentElement;
const speak = language => {
  root.dataset.language = language;
  root.lang = language === 'zh' ? 'zh-CN' : 'en';
};
const store = action => { try { return action(localStorage); } catch { return null; } };  // a page from a file may not
const languageButton = document.getElementById('language');
if (languageButton && document.querySelector('.two')) {
  languageButton.hidden = false;
  languageButton.addEventListener('click', () => {
    speak(root.dataset.language === 'zh' ? 'en' : 'zh');
    store(storage => storage.setItem('language', root.dataset.language));
  });
  speak(store(storage => storage.getItem('language')) || root.dataset.language);
}
